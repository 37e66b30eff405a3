"""Fail when the branch coverage of wire/ or mesh/ is below the gate.

Place     `make ci`, after the tests have written .coverage
Keeps     what counts is what the tests of wire/ and mesh/ reach (tests/conftest.py `TRACED`), not what a
          simulation or a program happens to pass through
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
from pathlib import Path

from coverage import Coverage

GATE_PERCENT = 95.0
PACKAGES = ("wire", "mesh")


def main() -> int:
    """Print the figure of each package; 1 if one is too low."""
    coverage = Coverage()
    coverage.load()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "coverage.json"
        stdout, sys.stdout = sys.stdout, io.StringIO()
        try:
            coverage.json_report(outfile=str(report), ignore_errors=True)
        finally:
            sys.stdout = stdout
        files = json.loads(report.read_text(encoding="utf-8"))["files"]
    too_low = False
    for package in PACKAGES:
        marker = f"src/dexmesh/{package}/"
        summaries = [entry["summary"] for name, entry in files.items() if marker in name]
        total = sum(one["num_statements"] + one["num_branches"] for one in summaries)
        covered = sum(one["covered_lines"] + one["covered_branches"] for one in summaries)
        percent = 100.0 * covered / total if total else 0.0
        verdict = "ok" if percent >= GATE_PERCENT else f"below {GATE_PERCENT} %"
        print(f"branch coverage of {package}/: {percent:.1f} % ({verdict})")
        too_low |= percent < GATE_PERCENT
    return int(too_low)


if __name__ == "__main__":
    sys.exit(main())
