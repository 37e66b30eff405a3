"""Find the committed inputs of every target, and keep new ones.

Place     tests/fuzz/test_corpus.py, seeds.py -> here; rust/hostio/tests/fuzz_corpus.rs reads the same folders
"""

from __future__ import annotations

import hashlib
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
RUST_TARGETS = Path(__file__).parent / "rust" / "fuzz_targets"


def inputs_of(target: str) -> list[Path]:
    """Every input of a target, in a fixed order."""
    return sorted(path for path in (CORPUS / target).glob("*") if path.is_file())


def keep(target: str, data: bytes) -> None:
    """Put an input into the corpus, named by its content as fuzzers do."""
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / hashlib.sha1(data, usedforsecurity=False).hexdigest()[:16]).write_bytes(data)


def rust_targets() -> list[str]:
    """The names of the targets that are in Rust."""
    return sorted(path.stem for path in RUST_TARGETS.glob("*.rs"))
