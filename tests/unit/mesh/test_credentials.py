"""Tests of mesh/credentials.py (docs/protocol/01 §3)."""

from __future__ import annotations

import random

import pytest

from dexmesh.engine.messages import (
    AddPeer,
    AddUser,
    Command,
    Endpoint,
    InterfaceNumber,
    RemoveUser,
)
from dexmesh.mesh.credentials import (
    LOCAL_PEERS,
    MAX_USERS,
    CredentialRefusedError,
    Credentials,
)
from dexmesh.mesh.notices import Notice
from dexmesh.mesh.wanted import WantedPeer
from dexmesh.wire.address import Address
from tests.unit.mesh.helpers import key


def make() -> tuple[Credentials, list[Command | Notice]]:
    outputs: list[Command | Notice] = []
    return Credentials(random.Random(1), outputs.append), outputs


def test_local_peers_comes_first_with_a_password_of_twenty_base32_characters() -> None:
    credentials, outputs = make()
    assert outputs == [AddUser(LOCAL_PEERS, credentials.beacon_password, None)]
    assert len(credentials.beacon_password) == 20
    assert set(credentials.beacon_password) <= set(b"0123456789bcdfghjklmnpqrstuvwxyz")


def test_users_without_login_are_numbered_by_the_users_before_them() -> None:
    credentials, _ = make()
    assert credentials.add(b"first") == "Anon #1"
    assert credentials.add(b"second", "alice") == "alice"
    assert credentials.add(b"third") == "Anon #3"
    credentials.remove("Anon #1")
    assert credentials.add(b"fourth") == "Anon #4", "a name in use is not given twice"


def test_the_same_login_and_password_is_refused_but_either_alone_is_not() -> None:
    credentials, outputs = make()
    address = Address(bytes(16))
    credentials.add(b"secret", "alice", address)
    assert outputs[-1] == AddUser("alice", b"secret", address)
    credentials.add(b"other", "alice")
    credentials.add(b"secret", "bob")
    with pytest.raises(CredentialRefusedError) as refusal:
        credentials.add(b"secret", "alice")
    assert refusal.value.reason == "duplicate"


@pytest.mark.parametrize(
    ("password", "login", "reason"),
    [
        (b"", "alice", "password length"),
        (b"x" * 65, "alice", "password length"),
        (b"x", "", "login missing"),
    ],
)
def test_what_nobody_could_present_is_refused(password: bytes, login: str, reason: str) -> None:
    credentials, _ = make()
    with pytest.raises(CredentialRefusedError) as refusal:
        credentials.add(password, login)
    assert refusal.value.reason == reason


def test_the_number_of_users_is_bounded() -> None:
    credentials, _ = make()
    for number in range(MAX_USERS - 1):
        credentials.add(b"x", f"user {number}")
    with pytest.raises(CredentialRefusedError) as refusal:
        credentials.add(b"x", "one more")
    assert refusal.value.reason == "full"


def test_removing_a_login_tells_the_engine_once() -> None:
    credentials, outputs = make()
    credentials.add(b"secret", "alice")
    assert credentials.remove("alice")
    assert outputs[-1] == RemoveUser("alice")
    assert not credentials.remove("alice")
    assert credentials.logins() == (LOCAL_PEERS,)


def test_passwords_are_not_shown_with_the_commands_that_carry_them() -> None:
    for command in (
        AddUser("login", b"top secret"),
        AddPeer(InterfaceNumber(0), Endpoint("192.0.2.1:5"), key(1), b"top secret"),
        WantedPeer(InterfaceNumber(0), Endpoint("192.0.2.1:5"), key(1), b"top secret", None, None),
    ):
        assert "secret" not in repr(command)
