"""What is written can be read again, by every version of cjdns."""

from __future__ import annotations

import json
import os
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexmesh.config.dialect import read_document
from dexmesh.config.document import Document, Items, Node, Number, Table, Text
from dexmesh.config.write import clean, quote
from dexmesh.errors import ConfigError


def read(text: str) -> Document:
    return read_document(text.encode(), "f")


def meaning(node: Node) -> object:
    match node:
        case Text(value=text):
            return text
        case Number(value=number):
            return number
        case Items(items=items):
            return [meaning(item) for item in items]
        case Table(entries=entries):
            return [(entry.key.value, meaning(entry.value)) for entry in entries]
    raise AssertionError(node)


VALUES = st.recursive(
    st.integers(-(1 << 63), (1 << 63) - 1) | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.text(max_size=5).filter(lambda key: key != "version"), VALUES))
def test_a_cleaned_document_means_the_same(value: dict[str, object]) -> None:
    document = read(json.dumps(value | {"version": 2}))
    again = read(clean(document))
    assert again.problems == ()
    assert meaning(again.root) == meaning(document.root)


def test_only_printable_bytes_are_written_as_they_are() -> None:
    assert quote(bytes(range(256))).isascii()
    assert quote(b'a"b\\c~\n\xc3') == r'"a\x22b\x5Cc\x7E\x0A\xC3"'


def test_a_document_with_mistakes_is_not_written() -> None:
    with pytest.raises(ConfigError):
        clean(read('{"version":2,"a":true}'))


@pytest.mark.parametrize(
    ("text", "version"),
    [('{"a":1}', "2"), ('{"version":1}', "2"), ('{"version":"x"}', "2"), ('{"version":3}', "3")],
)
def test_the_version_is_at_least_two(text: str, version: str) -> None:
    assert f'"version" : {version}' in clean(read(text))
    assert clean(read(text)).count("version") == 1


@pytest.mark.interop
@pytest.mark.skipif("CJDROUTE" not in os.environ, reason="CJDROUTE names no cjdroute")
def test_the_original_reads_and_writes_the_same() -> None:
    value = {"text": 'quote " back \\ é ~ \n', "list": [1, -5, {}], "dict": {"a": []}, "version": 2}
    ours = clean(read(json.dumps(value)))
    done = subprocess.run(
        [os.environ["CJDROUTE"], "--cleanconf"],
        input=ours.encode(),
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode() == ours
