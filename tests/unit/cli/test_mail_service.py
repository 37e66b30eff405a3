"""`dexmesh mail on | off | status | password | user` without a service, and with a stand-in for one."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from dexmesh.apps.base.control import Caller, ControlServer, Users
from dexmesh.apps.base.home import HOME_VARIABLE, Home
from dexmesh.apps.base.settings import AppSettings, load_settings, save_settings
from dexmesh.apps.base.sockets import Listening
from dexmesh.apps.mail.passwords import PasswordBook
from dexmesh.cli import mail_serve, places, service_node
from dexmesh.cli.output import Exit
from dexmesh.wire.keys import encode_key
from tests.unit.admin.fake import FakeNode
from tests.unit.cli.conftest import Run, Served
from tests.unit.config.samples import PUBLIC

ME = pwd.getpwuid(os.geteuid())
USER = ME.pw_name if ME.pw_uid else "nobody"

STATUS = {
    "address": "[IPv6:fc00::1]", "key_name": "x.k", "uptime_s": 7300.0, "users": ["bob"],
    "listening": [
        {"where": "[fc00::1]:25", "purpose": "mail from the mesh"},
        {"where": "127.0.0.67:53", "purpose": "names"},
        {"where": "127.0.0.67:53", "purpose": "names"},  # UDP and TCP
    ],
    "warnings": ["127.0.0.1:25 is taken"], "waiting": {"mails": 3, "bytes": 4000},
    "counters": {"received": {"mails accepted": 2, "refused: spoofed": 0}, "sent": {}},
}  # fmt: skip


@pytest.fixture(autouse=True)
def apps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Where the apps would keep everything."""
    monkeypatch.delenv("SUDO_USER", raising=False)
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "apps"))
    return Home(tmp_path / "apps")


@pytest.fixture
def switched_on(run: Run, config_file: Path, apps: Home) -> Home:
    """Mail is on, nothing runs."""
    assert run("mail", "on", "--account", USER, "--config", config_file).exit_code == 0
    return apps


@pytest.fixture
def service(switched_on: Home) -> Iterator[list[str]]:
    """A stand-in for the service; the calls it got."""
    calls: list[str] = []
    started, ended = threading.Event(), threading.Event()

    def answering(name: str, result: dict[str, Any]) -> Callable[..., Any]:
        async def call(caller: Caller, _arguments: dict[str, Any]) -> dict[str, Any]:
            calls.append(name)
            return {"user": caller.user, **result}

        return call

    async def serve() -> None:
        server = ControlServer(Users(load_settings(switched_on).mail, os.geteuid()))
        server.register("service.renew", answering("renew", {}))
        server.register("service.status", answering("status", STATUS))
        server.register("mail.password", answering("password", {"password": "abcd"}))
        await server.start(switched_on.control_socket)
        started.set()
        await asyncio.to_thread(ended.wait)
        await server.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert started.wait(10)
    yield calls
    ended.set()
    thread.join(10)


def test_on_makes_the_home_and_says_what_comes_next(
    run: Run, config_file: Path, apps: Home
) -> None:
    done = run("mail", "on", "--account", USER, "--config", config_file)
    assert done.exit_code == 0, done.stderr
    assert f"{USER}@[IPv6:" in done.stdout
    assert f"{USER}@{encode_key(PUBLIC)}" in done.stdout
    assert "dexmesh up" in done.stderr
    settings = load_settings(apps)
    assert (settings.key, settings.mail.is_on, settings.mail.account) == (PUBLIC, True, USER)
    assert apps.mail_users.is_dir()


def test_on_again_is_the_same_and_adds_who_is_named(
    run: Run, config_file: Path, apps: Home
) -> None:
    argv = ("mail", "on", "--account", USER, "--config", config_file)
    first = run(*argv, "--json")
    before = apps.settings_file.stat().st_ino
    assert run(*argv, "--json").stdout == first.stdout
    assert apps.settings_file.stat().st_ino == before  # nothing was written
    told = json.loads(run(*argv, "--json", "--user", "Bob").stdout)
    assert list(told["users"]) == [USER, "bob"]
    assert (told["on"], told["running"]) == (True, False)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may be somebody else's")
def test_as_root_somebody_must_be_meant(
    run: Run, config_file: Path, apps: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_node, "SERVICE_ACCOUNT", "no-such-account")
    done = run("mail", "on", "--config", config_file)
    assert done.exit_code == Exit.FAILED
    assert "--account" in done.stderr
    assert not apps.path.exists()
    monkeypatch.setenv("SUDO_USER", "nobody")
    told = json.loads(run("mail", "on", "--json", "--config", config_file).stdout)
    assert told["account"] == "nobody"
    monkeypatch.delenv("SUDO_USER")
    assert run("mail", "on", "--config", config_file).exit_code == 0  # it is nobody's since then


@pytest.mark.parametrize("name", ["root", "no-such-account"])
def test_it_runs_as_nobody_who_is_not_there_and_never_as_root(
    run: Run, config_file: Path, apps: Home, name: str
) -> None:
    done = run("mail", "on", "--account", name, "--config", config_file)
    assert done.exit_code == Exit.FAILED
    assert not apps.path.exists()


def test_without_a_configuration_a_running_node_is_asked(
    run: Run, served: Served, apps: Home, home: Path
) -> None:
    told = json.loads(served.config.read_text())
    host, _, port = str(told["admin"]["bind"]).rpartition(":")
    (home / ".cjdnsadmin").write_text(json.dumps({"addr": host, "port": int(port)}))
    assert run("mail", "on", "--account", USER).exit_code == 0
    assert load_settings(apps).key == served.node.key


def test_without_any_node_it_says_what_is_missing(run: Run, apps: Home, home: Path) -> None:
    (home / ".cjdnsadmin").write_text('{"addr": "127.0.0.1", "port": 1}')
    done = run("mail", "on", "--account", USER)
    assert done.exit_code == Exit.FAILED
    assert "--config" in done.stderr
    assert not apps.path.exists()


def test_settings_that_are_of_no_use_are_told_with_their_line(
    run: Run, config_file: Path, apps: Home
) -> None:
    apps.path.mkdir()
    apps.settings_file.write_text("key = 5\n")
    done = run("mail", "on", "--account", USER, "--config", config_file)
    assert done.exit_code == Exit.CONFIG
    assert f"{apps.settings_file}:1" in done.stderr


def test_off_keeps_everything_but_the_switch(run: Run, switched_on: Home) -> None:
    before = load_settings(switched_on)
    for _ in range(2):
        assert run("mail", "off").exit_code == 0
    after = load_settings(switched_on)
    assert (after.mail.is_on, after.mail.users) == (False, before.mail.users)
    assert run("mail", "serve").exit_code == Exit.CONFIG


def test_before_the_first_on_there_is_nothing_to_switch_off(run: Run) -> None:
    for argv in (("off",), ("user", "add", "bob"), ("serve",)):
        done = run("mail", *argv)
        assert done.exit_code == Exit.CONFIG, argv
        assert "dexmesh mail on" in done.stderr


def test_users_come_and_go(run: Run, switched_on: Home, service: list[str]) -> None:
    added = run("mail", "user", "add", "Bob", "--account", "no-such-account", "--mbox", "/m/b")
    assert added.exit_code == 0
    assert "no account 'no-such-account'" in added.stderr
    user = load_settings(switched_on).mail.user("bob")
    assert user is not None
    assert (user.account, user.mbox) == ("no-such-account", Path("/m/b"))
    assert run("mail", "user", "remove", "BOB").exit_code == 0
    assert load_settings(switched_on).mail.user("bob") is None
    assert run("mail", "user", "remove", "bob").exit_code == Exit.FAILED
    assert service == ["renew", "renew"]


def test_the_running_service_is_told(
    run: Run, config_file: Path, switched_on: Home, service: list[str]
) -> None:
    assert json.loads(run("mail", "on", "--json", "--config", config_file).stdout)["running"]
    assert json.loads(run("mail", "off", "--json").stdout)["was_running"]
    assert service == ["renew", "renew"]
    assert run("mail", "serve").exit_code == Exit.FAILED  # one is enough


def test_status_shows_what_the_service_says(run: Run, service: list[str]) -> None:
    told = json.loads(run("mail", "status", "--json").stdout)
    assert (told["running"], told["waiting"]) == (True, {"mails": 3, "bytes": 4000})
    shown = run("mail", "status").stdout
    for words in ("2 hours", "bob", "[fc00::1]:25", "3 mails", "mails accepted 2", "is taken"):
        assert words in shown
    assert "spoofed" not in shown  # nothing happened there
    assert shown.count("127.0.0.67:53, for names") == 1
    assert "3.9 kB" in shown


def test_status_without_a_service_tells_on_from_off(run: Run, switched_on: Home) -> None:
    done = run("mail", "status", "--json")
    assert (done.exit_code, json.loads(done.stdout)["on"]) == (Exit.NO_NODE, True)
    assert "although mail is on" in run("mail", "status").stderr
    assert run("mail", "off").exit_code == 0
    done = run("mail", "status")
    assert done.exit_code == Exit.NO_NODE
    assert "dexmesh mail on" in done.stderr


def test_a_password_comes_from_the_service(run: Run, service: list[str]) -> None:
    done = run("mail", "password")
    assert (done.exit_code, done.stdout) == (0, "abcd\n")
    assert USER in done.stderr
    assert service == ["password"]


def test_a_password_is_made_without_the_service_too(
    run: Run, switched_on: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dexmesh.apps.base.making.become", lambda _account: None)
    told = json.loads(run("mail", "password", USER, "--json").stdout)
    assert told["user"] == USER
    assert PasswordBook(switched_on.mail / "passwords").check(USER, told["password"])
    assert run("mail", "password", "eve").exit_code == Exit.FAILED


def test_a_node_with_another_key_is_noticed_at_the_next_on(
    run: Run, config_file: Path, switched_on: Home
) -> None:
    settings = load_settings(switched_on)
    save_settings(switched_on, AppSettings(FakeNode().key, settings.mail))
    assert run("mail", "on", "--config", config_file).exit_code == 0
    assert load_settings(switched_on) == settings


@pytest.fixture
def other_node(switched_on: Home, monkeypatch: pytest.MonkeyPatch, config_file: Path) -> Home:
    """The apps belong to another node than the configuration that is found without --config.

    `mail serve` comes to its end at once.
    """
    monkeypatch.setattr("dexmesh.apps.names.resolved.registering", lambda *_: nullcontext())
    monkeypatch.setattr(mail_serve, "_opened", lambda *_: Listening(()))
    monkeypatch.setattr(mail_serve, "_supervise", lambda *_: 0)
    monkeypatch.setattr(places, "SYSTEM_CONFIG", config_file)
    settings = load_settings(switched_on)
    save_settings(switched_on, AppSettings(FakeNode().key, settings.mail))
    return switched_on


def test_a_configuration_that_nobody_named_does_not_take_the_apps_away_from_their_node(
    run: Run, other_node: Home, config_file: Path
) -> None:
    before = other_node.settings_file.read_bytes()
    for command in ("on", "serve"):
        done = run("mail", command)
        assert done.exit_code == Exit.CONFIG
        assert encode_key(PUBLIC) in done.stderr
        assert encode_key(FakeNode().key) in done.stderr
        assert str(config_file) in done.stderr
        assert "--config" in done.stderr
        assert other_node.settings_file.read_bytes() == before


def test_a_configuration_that_is_named_says_which_node_the_apps_belong_to(
    run: Run, other_node: Home, config_file: Path
) -> None:
    done = run("mail", "serve", "--config", config_file)
    assert done.exit_code == 0
    assert "another key" in done.stderr
    assert load_settings(other_node).key == PUBLIC


def test_the_account_of_another_person_is_for_root_to_choose(
    run: Run, config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 65534)
    monkeypatch.setattr(os, "getegid", lambda: 65534)
    done = run("mail", "on", "--account", "daemon", "--config", config_file)
    assert done.exit_code == Exit.FAILED
    assert "as root" in done.stderr
