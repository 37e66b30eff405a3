"""A line that is typed key by key."""

from __future__ import annotations

import pytest

from dexmesh.cli.typed_line import MOST_CHARS, TypedLine


def typed(keys: str) -> str | None:
    line = TypedLine("call: ")
    found = None
    for char in keys:
        found = line.take(char)
    return found


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ("bob\r", "bob"),
        (" bob \n", "bob"),
        ("bop\x7fb\r", "bob"),
        ("\x7fann\x15bob\b\bü\n", "bü"),
        ("\x00b\x01o\x1bb\n", "bob"),
        ("\n", ""),
        ("bob\x07", ""),
        ("bob\x04", ""),
        ("bob", None),
        ("x" * 500 + "\n", "x" * MOST_CHARS),
    ],
)
def test_what_was_typed(keys: str, line: str | None) -> None:
    assert typed(keys) == line


def test_the_line_is_on_the_terminal_and_gives_room(capsys: pytest.CaptureFixture[str]) -> None:
    line = TypedLine("call: ")
    line.take("b")
    line.hide()
    line.show()
    line.take("\r")
    clear = "\r\x1b[K"
    shown = [f"{clear}call: ", f"{clear}call: b", clear, f"{clear}call: b", "\n"]
    assert capsys.readouterr().out == "".join(shown)
