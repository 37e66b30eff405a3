"""Let atheris loose on one Python target: `python -m tests.fuzz.run TARGET LIBFUZZER-ARGUMENTS`.

Place     tools/fuzz -> here -> tests/fuzz/targets.py
Spec      docs/fuzzing.md
Not here  replaying the committed inputs (tests/fuzz/test_corpus.py)
"""

from __future__ import annotations

import sys

import atheris  # type: ignore[import-untyped,import-not-found,unused-ignore]

with atheris.instrument_imports(include=["dexmesh"]):
    from tests.fuzz import targets

if __name__ == "__main__":
    name, *arguments = sys.argv[1:]
    # libFuzzer starts itself anew for -merge=1, by this name.
    again = f"{sys.executable} -m tests.fuzz.run {name}"
    atheris.Setup([again, *arguments], targets.TARGETS[name])
    atheris.Fuzz()
