"""Every input that a fuzzer found worth keeping is survived; every target has some."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.corpus import CORPUS, inputs_of, rust_targets
from tests.fuzz.targets import TARGETS

MOST_BYTES = 2 << 20
MOST_FILES = 400
CASES = [(name, path) for name in TARGETS for path in inputs_of(name)]


@pytest.mark.parametrize(
    ("target", "path"), CASES, ids=[f"{name}-{path.name}" for name, path in CASES]
)
def test_the_corpus_is_survived(target: str, path: Path) -> None:
    TARGETS[target](path.read_bytes())


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_survives_nothing_and_every_single_byte(target: str) -> None:
    TARGETS[target](b"")
    for byte in range(256):
        TARGETS[target](bytes([byte]))


def test_every_folder_of_the_corpus_belongs_to_a_target() -> None:
    folders = {path.name for path in CORPUS.iterdir()}
    assert folders == {*TARGETS, *rust_targets()}


def test_every_target_has_inputs_and_the_corpus_stays_small() -> None:
    files = [path for target in (*TARGETS, *rust_targets()) for path in inputs_of(target)]
    assert len({path.parent for path in files}) == len(TARGETS) + len(rust_targets())
    assert len(files) <= MOST_FILES
    assert sum(path.stat().st_size for path in files) <= MOST_BYTES
