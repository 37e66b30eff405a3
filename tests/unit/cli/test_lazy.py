"""Groups of commands that wait: seen by everybody, imported by whoever uses them."""

from __future__ import annotations

import subprocess
import sys

import typer.main
from typer.core import TyperCommand
from typer.testing import CliRunner

from dexmesh.cli.main import Root, app

_IMPORTED = """
import sys
from dexmesh.cli.main import app
sys.argv = ["dexmesh", *sys.argv[1:]]
try:
    app()
except SystemExit:
    pass
print(*sorted(name for name in sys.modules if name.startswith("dexmesh.")))
"""


def _modules(*arguments: str) -> list[str]:
    """What is imported when these arguments were given."""
    argv = [sys.executable, "-c", _IMPORTED, *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()


def _places() -> set[str]:
    return {one.place.partition(":")[0] for one in Root.waiting.values()}


def test_a_command_of_the_node_imports_none_of_the_apps() -> None:
    modules = _modules("version")
    assert not [name for name in modules if name.startswith("dexmesh.apps.mail")]
    assert not [name for name in modules if name.startswith("dexmesh.apps.call")]
    assert not _places() & set(modules)


def test_a_group_that_is_used_is_imported_and_the_others_are_not() -> None:
    modules = _modules("contact", "--help")
    assert "dexmesh.cli.contact" in modules
    assert "dexmesh.cli.mail_commands" not in modules


def test_a_single_command_is_imported_without_its_sisters() -> None:
    modules = _modules("hangup", "--help")
    assert "dexmesh.cli.call_control" in modules
    assert "dexmesh.cli.text" not in modules
    assert not [name for name in modules if name.startswith(("dexmesh.apps.call", "dexmesh.host"))]


def test_the_help_names_all_commands_and_a_slip_is_noticed_without_importing_them() -> None:
    shown = CliRunner().invoke(app, ["--help"]).stdout
    for name in Root.waiting:
        assert f"  {name} " in shown
    assert "Did you mean 'mail'?" in CliRunner().invoke(app, ["mail2"]).stderr
    assert not _places() & set(_modules("--help"))
    assert not _places() & set(_modules("mail2"))


def test_the_help_says_of_what_waits_what_it_says_itself() -> None:
    root = typer.main.get_group(app)
    for name, waiting in Root.waiting.items():
        line = root.commands[name].get_short_help_str(500)
        assert TyperCommand(name, help=waiting.summary).get_short_help_str(500) == line


def test_to_programs_it_is_a_group_like_any_other() -> None:
    root = typer.main.get_group(app)
    assert isinstance(root, Root)
    names = list(root.commands)
    assert len(names) == len(root.commands) == len(set(names))
    assert set(Root.waiting) < set(names)
    assert {name for name, _ in root.commands.items()} == set(names)
    assert list(root.commands) == names  # fetching changed nothing
    root.commands["extra"] = root.commands["mail"]
    del root.commands["extra"]
    assert root.commands.get("extra") is None
