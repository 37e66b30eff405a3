"""Every dialect is read, every mistake has a place, no input breaks the reader."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexmesh.config.dialect import MAX_DEPTH, read_document
from dexmesh.config.document import Document, Number, Table, Text
from dexmesh.config.scanner import MAX_NOTES


def read(text: str | bytes) -> Document:
    return read_document(text.encode() if isinstance(text, str) else text, "f")


def text_at(document: Document, key: bytes) -> bytes:
    entry = document.root.find(key)
    assert entry is not None
    assert isinstance(entry.value, Text)
    return entry.value.value


def places(text: str) -> list[tuple[int, int]]:
    return [(problem.line, problem.column) for problem in read(text).problems]


@pytest.mark.parametrize(
    ("escaped", "meaning"),
    [
        (r"\x41\x7e\xC3\xA9", "A~é"),
        (r"\n\t\r\b\f\"\\\/", '\n\t\r\b\f"\\/'),
        (r"\u00e9", "é"),
        (r"\ud83d\ude00", "😀"),
    ],
)
def test_escapes_of_cjdns_and_of_json_are_understood(escaped: str, meaning: str) -> None:
    document = read(f'{{"version":2,"a":"{escaped}"}}')
    assert document.problems == ()
    assert text_at(document, b"a") == meaning.encode()


@pytest.mark.parametrize("escape", [r"\q", r"\x4", r"\u12", r"\ud83d", r"\ude00", r"\ud83dA"])
def test_a_broken_escape_is_pointed_at(escape: str) -> None:
    assert places(f'{{"version":2,\n"a":"x{escape}"}}')[0] == (2, 7)


def test_all_mistakes_of_a_file_are_found_at_once() -> None:
    text = '{\n"version": 2,\n"a": true,\n"b": 1.5\n"c": [1,,2,],\n"d": null,\n"e": what,\n}'
    assert places(text) == [(3, 6), (4, 6), (5, 1), (5, 9), (5, 11), (6, 6), (7, 6), (7, 10)]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("true", "true is not a value"),
        ("false", "false is not a value"),
        ("null", "null is not a value"),
        ("1.5", "fraction or exponent"),
        ("1e5", "fraction or exponent"),
        ("-2.0", "fraction or exponent"),
        ("'x'", "not a value"),
        ("9" * 5000, "far too long"),
    ],
)
def test_values_cjdns_does_not_have_are_refused_with_a_hint(value: str, said: str) -> None:
    (problem,) = read(f'{{"version":2,"a":{value}}}').problems
    assert said in problem.message
    assert problem.hint


@pytest.mark.parametrize("text", ['{"version":2,"a":', '{"version":2,"a":{', '{"version":2 /* x'])
def test_a_file_that_ends_too_early_is_a_mistake_with_a_place(text: str) -> None:
    assert read(text).problems[0].line == 1


def test_columns_count_characters_not_bytes() -> None:
    assert places('{"version":2,"é": true}') == [(1, 19)]


def test_a_byte_order_mark_blanks_and_comments_may_come_first() -> None:
    document = read(b'\xef\xbb\xbf\r\n// hello {\n/** { **/ {"version":2}')
    assert document.problems == ()
    assert document.dialect == "strict"


def test_numbers_wrap_like_those_of_the_original_with_a_warning() -> None:
    document = read('{"version":2,"a":9223372036854775808}')
    entry = document.root.find(b"a")
    assert entry is not None
    assert isinstance(entry.value, Number)
    assert entry.value.value == -(1 << 63)
    assert "64 bits" in document.warnings[0].message


def test_an_old_file_is_read_by_loose_rules_and_says_so() -> None:
    document = read('# remark\n{"a":1 "b" = : "x\ny", "l":[# no\n 1 2,], }')
    assert document.dialect == "lax"
    assert document.problems == ()
    assert text_at(document, b"b") == b"x\ny"
    assert any("old files" in warning.message for warning in document.warnings)


def test_a_skipped_key_of_an_old_file_is_pointed_at() -> None:
    document = read("{\n  'privateKey': 1\n}")
    assert document.root.entries == ()
    assert [(w.line, w.message) for w in document.warnings if "skipped" in w.message] == [
        (2, "this was not understood and is skipped")
    ]


def test_loose_rules_never_save_a_file_of_version_two() -> None:
    assert [p.message for p in read('{"a":1,"version":2,}').problems] == [
        "a comma with nothing behind it"
    ]


def test_deep_nesting_is_refused_not_followed() -> None:
    text = '{"version":2,"a":' + "[" * 100_000
    (problem,) = read(text).problems
    assert str(MAX_DEPTH) in problem.message


def test_the_number_of_remembered_mistakes_is_bounded() -> None:
    document = read('{"version":2,"a":[' + "true," * 10_000 + "1]}")
    assert len(document.problems) == MAX_NOTES


def test_duplicates_are_kept_and_the_first_is_found() -> None:
    document = read('{"version":2,"a":1,"a":2}')
    assert len(document.root.entries) == 3
    entry = document.root.find(b"a")
    assert entry is not None
    assert isinstance(entry.value, Number)
    assert entry.value.value == 1


def test_a_value_knows_where_it_stands_in_the_text() -> None:
    data = b'{"version":2, "t": {"x": 1} }'
    entry = read(data).root.find(b"t")
    assert entry is not None
    assert isinstance(entry.value, Table)
    assert data[entry.value.start : entry.value.end] == b'{"x": 1}'


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    document = read(data)
    assert document.problems or document.root.end <= len(data)


PIECES = st.sampled_from(
    [
        "{",
        "}",
        "[",
        "]",
        '"',
        ":",
        ",",
        "1",
        "-",
        ".",
        "\\",
        "x41",
        "/",
        "*",
        "\n",
        " ",
        "#",
        "true",
    ]
)


@given(st.lists(PIECES, max_size=60).map("".join))
def test_no_mixture_of_pieces_breaks_the_reader(text: str) -> None:
    document = read(text)
    assert all(problem.line >= 1 and problem.column >= 1 for problem in document.problems)
