from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from dexmesh.apps.base.findings import Finding, Level
from dexmesh.apps.base.home import Home
from dexmesh.apps.base.me import Me
from dexmesh.apps.base.settings import AppSettings, MailSettings, PhoneSettings, UserSettings
from dexmesh.apps.base.sockets import Purpose, wishes
from dexmesh.apps.call import checks
from dexmesh.apps.call.codec import catalogue
from dexmesh.apps.call.codec.catalogue import CodecState
from dexmesh.errors import NoServiceError, PermissionNeededError
from dexmesh.wire.keys import PublicKey, is_node_key


def _key() -> PublicKey:
    chance = random.Random(5)
    while not is_node_key(key := PublicKey(chance.randbytes(32))):
        pass
    return key


SETTINGS = AppSettings(
    _key(), MailSettings(users=(UserSettings("stuart"),)), phone=PhoneSettings(is_on=True)
)
WHERE = [
    one.where
    for one in wishes(Me.of(SETTINGS.key), SETTINGS)
    if one.purpose is Purpose.PHONE and one.is_tcp
]
RUNNING = {
    "service.status": {"listening": [{"where": WHERE[0]}]},
    "phone.status": {"user": "stuart", "bells": 1, "has_voicemail": True},
}


def found(
    monkeypatch: pytest.MonkeyPatch, answers: dict[str, Any], *, held_by: str = ""
) -> list[Finding]:
    """What the check of the service says where the service answers like this."""

    def ask(_home: Home, call: str) -> dict[str, Any]:
        answer = answers[call]
        if isinstance(answer, Exception):
            raise answer
        told: dict[str, Any] = answer
        return told

    monkeypatch.setattr(checks, "_ask", ask)
    monkeypatch.setattr(checks, "is_taken", lambda *_where, is_tcp: bool(held_by))
    monkeypatch.setattr(checks, "holder_of", lambda *_where, is_tcp: held_by)
    return list(checks.check_service(Home(Path("/nowhere")), SETTINGS))


def test_a_phone_that_runs_and_is_heard_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    told = found(monkeypatch, RUNNING)
    assert {one.level for one in told} == {Level.OK}
    assert [one.name for one in told] == ["phone.port", "phone.port", "phone.bell"]


def test_a_phone_that_nobody_hears_is_worth_knowing(monkeypatch: pytest.MonkeyPatch) -> None:
    silent = {"user": "stuart", "bells": 0, "has_voicemail": True}
    (bell,) = found(monkeypatch, RUNNING | {"phone.status": silent})[2:]
    assert (bell.level, bell.todo) == (Level.NOTE, "`dexmesh phone` rings and answers")
    assert "voicemail" in bell.what


def test_another_phone_on_the_port_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = {"service.status": NoServiceError("not running", "")}
    told = found(monkeypatch, absent, held_by="linphonec (process 7)")
    assert [one.name for one in told] == ["phone.service", "phone.port", "phone.port"]
    assert "linphonec (process 7)" in told[1].what
    assert told[1].what.split()[0].endswith("/udp")


def test_a_port_that_nobody_has_although_the_service_runs_is_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = found(monkeypatch, RUNNING | {"service.status": {"listening": []}})
    assert [one.level for one in told[:2]] == [Level.WRONG, Level.WRONG]


def test_who_may_not_look_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = {"service.status": PermissionNeededError("not yours", "use sudo")}
    (one,) = found(monkeypatch, refused)
    assert (one.level, one.todo) == (Level.NOTE, "use sudo")


def test_a_codec_that_is_missing_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    states = (CodecState("opus", False, "libopus0"), CodecState("PCMU", True, ""))
    monkeypatch.setattr(catalogue, "codecs", lambda: states)
    missing, there = checks.check_codecs()
    assert (missing.level, missing.todo) == (Level.NOTE, "apt-get install libopus0")
    assert there.level is Level.OK


def test_a_phone_that_is_off_is_not_looked_at() -> None:
    off = AppSettings(SETTINGS.key)
    assert list(checks.checks(Home(Path("/nowhere")), off)) == []
