"""Check the command line against its own promises, and what documents say about it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer.main
from tools.reference import FOLDER, commands, example_of, pages
from typer.testing import CliRunner

from dexmesh.cli.main import app
from dexmesh.cli.output import EXIT_HELP

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMANDS = dict(commands())
NAMES = sorted(COMMANDS)
_BLOCK = re.compile(r"^```\w*\n(.*?)^```", re.DOTALL | re.MULTILINE)
_MARKUP = re.compile(r"\[[a-z#/@][^\[]*?\]")  # as rich.markup has it
_QUOTED = re.compile(r"`(dexmesh [^`]*)`")


def _parse(line: str) -> None:
    """Give a command line to the real parser; anything wrong with it raises."""
    words = shlex.split(line, comments=True)
    for mark in ("<", ">", "|"):
        if mark in words:
            words = words[: words.index(mark)]
    names = (" ".join(words[:count]) for count in (4, 3, 2))
    name = next(name for name in names if name in COMMANDS)
    arguments = words[len(name.split()) :]
    COMMANDS[name].make_context(name, [*arguments])


def _lines(page: Path) -> list[str]:
    blocks = _BLOCK.findall(page.read_text(encoding="utf-8"))
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    return [line.removeprefix("sudo ") for line in lines if re.match(r"(sudo )?dexmesh ", line)]


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_help_json_and_an_example_that_parses(name: str) -> None:
    done = CliRunner().invoke(app, [*name.split()[1:], "--help"], prog_name="dexmesh")
    shown = " ".join(re.sub(r"[│╭╮╰╯─]", " ", done.stdout).split())
    assert done.exit_code == 0
    assert f"Example: {example_of(COMMANDS[name])}" in shown
    assert EXIT_HELP in shown
    assert "--json" in {option for one in COMMANDS[name].params for option in one.opts}
    assert example_of(COMMANDS[name]).startswith(name)
    _parse(example_of(COMMANDS[name]))


@pytest.mark.parametrize("name", NAMES)
def test_no_word_of_a_help_is_taken_for_markup_on_a_terminal(name: str) -> None:
    """`[fc..]` would vanish there: rich takes it for a colour."""
    command = COMMANDS[name]
    texts = [command.help, command.epilog, *(getattr(one, "help", "") for one in command.params)]
    assert [found for text in texts for found in _MARKUP.findall(text or "")] == []


def test_groups_show_an_example_too() -> None:
    groups = _groups(typer.main.get_command(app))
    assert len(groups) >= 8
    for group in groups:
        _parse(example_of(group))


def _groups(group: Any) -> list[Any]:
    """This group and all below it."""
    inner = (one for one in group.commands.values() if hasattr(one, "commands"))
    return [group, *(below for one in inner for below in _groups(one))]


def test_a_command_line_that_is_wrong_would_be_noticed() -> None:
    for wrong in ("dexmesh ping", "dexmesh ping fc00::1 --no-such-option", "dexmesh peer add x"):
        with pytest.raises(Exception, match=r"(?i)missing|no such option"):
            _parse(wrong)
    with pytest.raises(StopIteration):
        _parse("dexmesh fly")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_command_lines_in_documents_parse(page: Path) -> None:
    for line in _lines(page):
        _parse(line)


def test_the_readme_has_command_lines() -> None:
    assert len(_lines(ROOT / "README.md")) >= 4


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_named_in_the_text_of_documents_exist(page: Path) -> None:
    known = {" ".join(name.split()[:count]) for name in NAMES for count in (2, 3, 4)}
    for quoted in _QUOTED.findall(page.read_text(encoding="utf-8")):
        words = quoted.split()
        assert " ".join(words[:2]) in known, quoted
        if " ".join(words[:2]) not in NAMES and len(words) > 2 and not words[2].isupper():
            assert " ".join(words[:3]).rstrip("…") in known, quoted


def test_make_verbs_named_in_documents_exist() -> None:
    verbs = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        named = re.findall(r"`make ([a-z-]+)", text) + re.findall(r"^make ([a-z-]+)", text, re.M)
        assert set(named) <= verbs, page.name


@pytest.mark.parametrize(("name", "text"), pages().items())
def test_generated_pages_are_fresh(name: str, text: str) -> None:
    stored = (FOLDER / name).read_text(encoding="utf-8")
    assert stored == text, "run: python tools/reference.py"


def test_every_generated_page_is_still_generated() -> None:
    assert {path.name for path in FOLDER.glob("*.md")} == set(pages())
