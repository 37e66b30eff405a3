"""`dexmesh up` up to the point where the daemon takes over; the daemon is a stand-in here."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import pytest

from dexmesh.apps.base.home import HOME_VARIABLE, Home
from dexmesh.apps.base.settings import AppSettings, MailSettings, save_settings
from dexmesh.cli import places
from dexmesh.cli import up as up_module
from dexmesh.cli.mail_child import start_mail
from dexmesh.cli.panel import Panel
from dexmesh.config.settings import Settings
from dexmesh.errors import BindError
from tests.unit.cli.conftest import Run, Served, write
from tests.unit.config.samples import PUBLIC, config


@dataclass(frozen=True, slots=True)
class RunOptions:
    foreground: bool = True
    ready: Callable[[], None] | None = None
    watcher: object = None


@dataclass(slots=True)
class Daemon:
    """Remembers what it was to run."""

    runs: list[tuple[Settings, RunOptions]] = field(default_factory=list)
    code: int = 0
    failure: Exception | None = None

    def run(self, settings: Settings, options: RunOptions) -> int:
        self.runs.append((settings, options))
        if self.failure is not None:
            raise self.failure
        return self.code


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Daemon:
    fake, module = Daemon(), ModuleType("dexmesh.host.daemon")
    module.__dict__.update(run=fake.run, RunOptions=RunOptions)
    monkeypatch.setitem(sys.modules, "dexmesh.host.daemon", module)
    return fake


@pytest.fixture(autouse=True)
def apps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home of the apps with nothing in it."""
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "apps"))
    return Home(tmp_path / "apps")


def test_a_configuration_is_run_in_the_foreground(
    run: Run, daemon: Daemon, config_file: Path
) -> None:
    daemon.code = 3
    assert run("up", "--config", config_file).exit_code == 3
    [(settings, options)] = daemon.runs
    assert settings.public_key == PUBLIC
    assert options == RunOptions(foreground=True, watcher=None)  # no terminal, so no panel


def test_logs_are_json_when_asked(run: Run, daemon: Daemon, config_file: Path) -> None:
    run("up", "--json", "--config", config_file)
    assert daemon.runs[0][0].logging.format == "json"


def test_the_first_start_makes_a_configuration_and_says_so(
    run: Run, daemon: Daemon, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(up_module, "new_config_path", lambda _: places.user_config())
    monkeypatch.setattr("dexmesh.cli.running.is_running", lambda _: False)
    done = run("up")
    path = home / ".config" / "dexmesh" / "cjdroute.conf"
    assert done.exit_code == 0, done.output
    assert path.stat().st_mode & 0o777 == 0o600
    assert f"made a configuration for this node: {path}" in done.stderr
    run("up")
    assert daemon.runs[0][0].private_key == daemon.runs[1][0].private_key


def test_a_second_node_is_refused_with_what_to_do(run: Run, daemon: Daemon, served: Served) -> None:
    done = run("up", "--config", served.config)
    assert done.exit_code == 1
    assert "a node is running already" in done.stderr
    assert daemon.runs == []


def test_mistakes_are_told_before_anything_starts(run: Run, daemon: Daemon, tmp_path: Path) -> None:
    path = write(tmp_path / "c", config(privateKey="12", admin=None))
    done = run("up", "--config", path)
    assert done.exit_code == 78
    assert "2 mistakes" in done.stderr
    assert daemon.runs == []


def test_warnings_and_open_permissions_are_told(
    run: Run, daemon: Daemon, config_file: Path
) -> None:
    write(config_file, json.dumps({**json.loads(config_file.read_text()), "colour": "blue"}))
    config_file.chmod(0o644)
    done = run("up", "--config", config_file)
    assert done.stderr.count("warning: ") == 2
    assert "colour" in done.stderr
    assert f"chmod 600 {config_file}" in done.stderr


def test_what_the_system_refuses_is_an_error_with_a_hint(
    run: Run, daemon: Daemon, config_file: Path
) -> None:
    daemon.failure = BindError("0.0.0.0:5000 is taken", "Choose another port.")
    done = run("up", "--config", config_file)
    assert (done.exit_code, done.stderr) == (
        1,
        "error: 0.0.0.0:5000 is taken\n  Choose another port.\n",
    )


@pytest.mark.parametrize(
    ("is_terminal", "kind", "is_drawn"),
    [(True, "xterm", True), (True, "dumb", False), (True, None, False), (False, "xterm", False)],
)
def test_the_panel_is_for_terminals_that_can_draw(
    is_terminal: bool, kind: str | None, is_drawn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: is_terminal)
    if kind is None:
        monkeypatch.delenv("TERM", raising=False)
    else:
        monkeypatch.setenv("TERM", kind)
    assert up_module._can_draw() is is_drawn
    assert isinstance(up_module._panel(None), Panel)


def test_mail_that_is_on_runs_as_long_as_the_node(
    run: Run, daemon: Daemon, config_file: Path, apps: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for the service writes down its arguments, and that its lifeline ended."""
    log = config_file.parent / "log"
    script = config_file.parent / "service"
    script.write_text(
        "#!/bin/sh\n"
        'echo "$@ ${NOTIFY_SOCKET-nobody}" >> $LOG\n'
        'for fd in "$@"; do last=$fd; done\n'
        "cat /proc/self/fd/$last\n"
        "echo ended >> $LOG\n"
    )
    script.chmod(0o755)
    monkeypatch.setenv("LOG", str(log))
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd")
    monkeypatch.setattr(sys, "executable", str(script))
    apps.path.mkdir()
    for is_on in (False, True):
        save_settings(apps, AppSettings(PUBLIC, MailSettings(is_on=is_on)))
        assert run("up", "--config", config_file).exit_code == 0
    started, ended = log.read_text().splitlines()
    assert started.startswith(
        f"-m dexmesh mail serve --home {apps.path} --config {config_file} --lifeline "
    )
    assert started.endswith(" nobody")
    assert ended == "ended"


def test_a_node_starts_although_the_settings_of_mail_are_of_no_use(
    run: Run, daemon: Daemon, config_file: Path, apps: Home
) -> None:
    apps.path.mkdir()
    apps.settings_file.write_text("on = ?")
    done = run("up", "--config", config_file)
    assert (done.exit_code, len(daemon.runs)) == (0, 1)
    assert "warning: no mail" in done.stderr


def test_what_the_service_says_is_kept_for_the_panel(
    config_file: Path, apps: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = config_file.parent / "service"
    script.write_text("#!/bin/sh\necho '1795584726 INFO x.py:1 hello'\necho a word >&2\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    apps.path.mkdir()
    save_settings(apps, AppSettings(PUBLIC, MailSettings(is_on=True)))
    child = start_mail(config_file, as_json=False, keeps_output=True)
    assert child is not None
    child._process.wait(10)
    said = child.take_lines()
    assert said == ["INFO x.py:1 hello", "a word"]
    child.end()
