"""QR codes: the right modules, readable on dark and on light terminals, and as pictures."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from pathlib import Path

import pytest
import segno

from dexmesh.apps.contacts.qr import QUIET, picture_qr, terminal_qr
from dexmesh.errors import ContactError

TEXT = "DEXMESH:1/MWRBXRDFH8JYHUC1PZ6W3WSDUCMGXFTW28YMCK45G8R9P7SYZ7D0/U:STUART/ABCDEFG"


def _expected() -> list[list[bool]]:
    code = segno.make_qr(TEXT, error="m", boost_error=False)
    assert code.mode == "alphanumeric"
    return [[bool(one) for one in row] for row in code.matrix_iter(border=QUIET)]


def _dark(drawn: str, inked: bool) -> list[list[bool]]:
    """The dark modules of half blocks; `inked` says whether ink is dark."""
    upper = {"█": True, "▀": True, "▄": False, " ": False}
    lower = {"█": True, "▀": False, "▄": True, " ": False}
    rows = (
        [[half[c] is inked for c in line] for half in (upper, lower)] for line in drawn.split("\n")
    )
    return list(itertools.chain.from_iterable(rows))


def test_with_colours_the_ink_is_dark_on_light_on_every_terminal() -> None:
    lines = terminal_qr(TEXT, is_coloured=True).rstrip("\n").split("\n")
    assert all(line.startswith("\x1b[38;5;16m\x1b[48;5;231m") for line in lines)
    assert all(line.endswith("\x1b[0m") for line in lines)
    bare = "\n".join(line[len("\x1b[38;5;16m\x1b[48;5;231m") : -4] for line in lines)
    expected = _expected()
    assert _dark(bare, inked=True)[: len(expected)] == expected


def test_without_colours_the_blocks_are_the_light_of_a_dark_terminal() -> None:
    expected = _expected()
    drawn = terminal_qr(TEXT, is_coloured=False).rstrip("\n")
    assert "\x1b" not in drawn
    assert _dark(drawn, inked=False)[: len(expected)] == expected


def test_pictures_are_png_or_svg() -> None:
    assert picture_qr(TEXT, "a.PNG").startswith(b"\x89PNG\r\n")
    assert b"<svg" in picture_qr(TEXT, "a.svg")
    with pytest.raises(ContactError, match="not a PNG or SVG"):
        picture_qr(TEXT, "a.jpg")


@pytest.mark.interop
@pytest.mark.skipif(shutil.which("zbarimg") is None, reason="zbar-tools are not installed")
def test_another_program_reads_the_picture(tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(picture_qr(TEXT, "a.png"))
    command = ["zbarimg", "--raw", "-q", str(picture)]
    done = subprocess.run(command, capture_output=True, timeout=30, check=True, text=True)
    assert done.stdout.strip() == TEXT


def test_too_much_for_a_code_is_refused() -> None:
    with pytest.raises(ContactError, match="too long"):
        terminal_qr("A" * 9000, is_coloured=False)
