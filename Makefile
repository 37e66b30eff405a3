# dexmesh: the verbs. `make help` lists them. Every verb sets up what it needs by itself.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PY := .venv/bin/python
CARGO := tools/cargo
PYTEST_ARGS ?=
# Two streams of machines (tests/conftest.py), which wait more than they work, and one of all the others.
PYTEST_STREAMS ?= 3
BENCH_ARGS ?=

.PHONY: help setup venv native packages demo test test-python test-rust ci format lint types layers rust bench bench-mail bench-calls soak fuzz wheel clean

help: ## List the verbs
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Virtual environment, Rust build and Debian packages, each only if something changed
	@tools/setup all

venv:
	@tools/setup venv

native: venv
	@tools/setup native

packages:
	@tools/setup packages

demo: ## Three machines on this one: addresses, pings, a file, a mail, a call (a minute and a half after set-up)
	@tools/setup all
	@tools/as-root .venv/bin/dexmesh demo

test: ## Every test: Rust, Python, simulation, real TUN and namespaces
	@tools/setup all
	@$(MAKE) --no-print-directory test-rust test-python

test-python:
	@echo "== Python tests: units, vectors, properties, mirror, simulation, namespaces, foreign programs"
	@tools/as-root $(PY) -m pytest --numprocesses $(PYTEST_STREAMS) --dist loadscope $(PYTEST_ARGS)

test-rust:
	@echo "== Rust tests: engine, switch, CryptoAuth vectors, offloads"
	@cd rust && ../$(CARGO) test --quiet --workspace --exclude dexmesh-python --lib --tests
	@cd rust && ../$(CARGO) test --quiet --workspace --exclude dexmesh-python --doc

ci: ## What CI runs: set-up, format, lint, types, layers, Rust, all tests
	@tools/setup all
	@CARGO_INCREMENTAL=0 $(MAKE) --no-print-directory -j2 --output-sync=target rust types test-rust format lint layers
	@$(MAKE) --no-print-directory test-python PYTEST_ARGS="--cov --cov-report=term:skip-covered $(PYTEST_ARGS)"
	@$(PY) tools/coverage_gate.py

format: venv ## Is everything formatted? (FIX=1 formats)
	@echo "== format"
	@.venv/bin/ruff format $(if $(FIX),,--check) --quiet src tests bench tools
	@cd rust && ../$(CARGO) fmt --all $(if $(FIX),,-- --check)

lint: venv ## ruff, spelling
	@echo "== lint"
	@.venv/bin/ruff check $(if $(FIX),--fix,) --quiet src tests bench tools
	@.venv/bin/typos

types: native ## mypy --strict, and stubtest on the compiled module
	@echo "== types"
	@.venv/bin/mypy
	@MYPYPATH=src .venv/bin/stubtest --concise dexmesh.engine._native

layers: venv ## Who may import whom
	@echo "== layers"
	@.venv/bin/lint-imports --no-cache

rust: ## clippy with warnings as errors
	@echo "== clippy"
	@cd rust && ../$(CARGO) clippy --quiet --workspace --all-targets -- -D warnings

bench: ## Speed, CPU and memory in ratios to the original at CJDROUTE, one table (about six minutes)
	@tools/setup all
	@tools/as-root $(PY) -m bench $(BENCH_ARGS)

bench-mail: ## Mails received a second, beside OpenSMTPD in the same run (about a minute)
	@tools/setup all
	@tools/as-root $(PY) -m bench.mail $(BENCH_ARGS)

bench-calls: ## Call set-up and delay over three hops beside baresip, CPU of a call (about five minutes)
	@tools/setup all
	@tools/as-root $(PY) -m bench.calls_setup $(BENCH_ARGS)

soak: ## The long runs: 1000 kills of the mail process, 20 minutes of mesh beside CJDROUTE (about an hour)
	@tools/setup all
	@DEXMESH_CRASH_KILLS=1000 tools/as-root $(PY) -m pytest -s tests/netns/test_mail_crash.py
	@DEXMESH_SOAK_MINUTES=20 tools/as-root $(PY) -m pytest -s -m soak tests/interop

fuzz: native ## Fuzz every parser, SECONDS each (60), or the TARGETS named; docs/fuzzing.md
	@tools/fuzz run "$(or $(SECONDS),60)" $(TARGETS)

wheel: venv ## Build a wheel into dist/
	@.venv/bin/maturin build --release --out dist

clean: ## Remove everything that was built
	rm -rf .venv .build rust/target dist
