"""Benchmarks: each compares things in one run and reports ratios (docs/performance.md)."""
