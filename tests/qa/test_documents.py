"""Documents say what is so: messages exist, states exist, every page is on the map, units are sound."""

from __future__ import annotations

import ast
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from dexmesh.mesh.peers import PeerState

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
UNITS = sorted((ROOT / "packaging" / "systemd").glob("*.service"))
TROUBLE = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
_FIRST_CELL = re.compile(r"^\| (`[^|]+`) \|", re.MULTILINE)
_STATE = re.compile(r"[A-Z_]{4,}")


def _explained() -> list[str]:
    cells = _FIRST_CELL.findall(TROUBLE)
    return [text for cell in cells for text in re.findall(r"`([^`]+)`", cell)]


def _is_state(text: str) -> bool:
    return bool(_STATE.fullmatch(text))


def _texts() -> str:
    """Every text in the program, each whole although its line is broken, without the values in it."""
    texts: list[str] = []
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            parts = node.values if isinstance(node, ast.JoinedStr) else [node]
            values = (part.value for part in parts if isinstance(part, ast.Constant))
            texts.append("".join(value for value in values if isinstance(value, str)))
    return "\n".join(texts)


def test_every_message_that_is_explained_is_a_message_of_the_program() -> None:
    source = _texts()
    messages = [text for text in _explained() if not _is_state(text)]
    assert len(messages) > 10
    missing = [
        part
        for message in messages
        for part in (piece.strip() for piece in message.split("…"))
        if part and part not in source
    ]
    assert missing == []


def test_every_state_of_a_link_is_explained() -> None:
    explained = {text for text in _explained() if _is_state(text)}
    assert explained == {state.name for state in PeerState} - {"INIT"}


def test_every_page_is_on_the_map() -> None:
    map_text = (DOCS / "README.md").read_text(encoding="utf-8")
    pages = [path.relative_to(DOCS) for path in DOCS.rglob("*.md") if path.name != "README.md"]
    for page in pages:
        assert f"]({page})" in map_text or f"]({page.parts[0]}" in map_text, page


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_has_nothing_to_say_about_the_units(unit: Path, tmp_path: Path) -> None:
    program = tmp_path / "dexmesh"
    program.write_text("#!/bin/sh\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    for one in UNITS:
        text = one.read_text(encoding="utf-8")
        (tmp_path / one.name).write_text(text.replace("=dexmesh ", f"={program} "))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / unit.name)],
        capture_output=True,
        text=True,
        check=False,
    )
    said = [line for line in done.stderr.splitlines() if "dexmesh" in line or "cjdns" in line]
    assert said == []


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_units_run_commands_that_parse(unit: Path) -> None:
    from tests.qa.test_commands import _parse

    lines = re.findall(
        r"dexmesh (?:up|config|wait-online|mail serve)[^\"\n]*", unit.read_text("utf-8")
    )
    assert lines
    for line in lines:
        _parse(line)
