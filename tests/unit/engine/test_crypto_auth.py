"""The native CryptoAuth plays the reference bit for bit in every recorded scenario (docs/protocol/01)."""

from __future__ import annotations

from typing import Any

import pytest

from dexmesh.engine._native import CryptoAuth
from dexmesh.wire.address import parse_address
from tests.vectors.loading import load, names

VECTORS = load("cryptoauth.json")
SCENARIOS = VECTORS["scenarios"]
ESTABLISHED = 100
SMALLEST_FIRST_DATAGRAM_BYTES = 120  # 01 §14
# docs/protocol/01 §13
VERDICTS = [
    "ACCEPT",
    "RUNT",
    "NO_SESSION",
    "-",
    "-",
    "KEY_PKT_ESTABLISHED_SESSION",
    "WRONG_PERM_PUBKEY",
    "IP_RESTRICTED",
    "AUTH_REQUIRED",
    "UNRECOGNIZED_AUTH",
    "STRAY_KEY",
    "HANDSHAKE_DECRYPT_FAILED",
    "WISEGUY",
    "INVALID_PACKET",
    "REPLAY",
    "DECRYPT",
]


def identity(name: str, part: str) -> bytes:
    return bytes.fromhex(VECTORS["identities"][name][part])


def reference_of(scenario: dict[str, Any]) -> CryptoAuth:
    """The reference's side. Only sessions that others begin require a credential (README)."""
    is_called = scenario["reference_role"] == "responder"
    first = bytes.fromhex(scenario["steps"][0].get("hex", ""))
    her_key = first[40:72] if is_called else identity(scenario["peer_identity"], "public")
    session = CryptoAuth(
        identity(scenario["reference_identity"], "private"), her_key, is_called, 0.0
    )
    users: list[tuple[bytes | None, bytes, bytes | None]] = [
        (b"Local Peers", b"random, unknown to the peer", None)
    ]
    for entry in VECTORS["users"][scenario["reference_users"]]:
        login, only = entry.get("login"), entry.get("only_ipv6")
        users.append(
            (
                None if login is None else login.encode(),
                entry["password"].encode(),
                None if only is None else parse_address(only),
            )
        )
    session.set_users(users)
    credential = scenario["reference_credentials"]
    if credential is not None:
        login = credential["login"]
        session.set_credential(
            None if login is None else login.encode(), credential["password"].encode()
        )
    return session


def script(fields: dict[str, Any]) -> bytes:
    """The randomness a packet was made with, in the order it is drawn. Repeats draw no temporary key."""
    if fields["kind"] == "DATA":
        return b""
    temp = "" if fields["kind"].startswith("REPEAT") else fields["sender_temp_private"]
    lookup = "" if fields["auth"][:2] != "00" else fields["auth"][2:20]
    return bytes.fromhex(temp + fields["handshake_nonce"] + lookup)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=names(SCENARIOS, "name"))
def test_the_engine_plays_the_reference(scenario: dict[str, Any]) -> None:
    session, now = reference_of(scenario), 0.0
    for number, step in enumerate(scenario["steps"]):
        if "wait_seconds" in step:
            now += step["wait_seconds"]
            send_what_the_capture_left_out(session, scenario["steps"][number + 1], now - 1)
        elif step["from"] == "peer":
            hear(session, step, now)
        else:
            fields = step["fields"]
            payload = bytes.fromhex(fields["payload"])
            packet = session.seal(now, payload, script(fields))
            assert packet is not None
            assert packet.hex() == step["hex"], number


def send_what_the_capture_left_out(session: CryptoAuth, then: dict[str, Any], now: float) -> None:
    """Data the reference sent during a wait: its counter shows how many packets."""
    counter = then.get("reference_state_before") or 0
    while session.state == ESTABLISHED and session.next < counter:
        session.seal(now, b"left out", b"")


def hear(session: CryptoAuth, step: dict[str, Any], now: float) -> None:
    packet = bytes.fromhex(step["hex"])
    if step["result"] == "IGNORED":
        assert len(packet) < SMALLEST_FIRST_DATAGRAM_BYTES
        return
    before = step.get("reference_state_before")
    if before is not None:
        assert session.next == before, step.get("note")
    error, payload = session.open(now, packet)
    assert VERDICTS[error] == step["result"], step.get("note")
    assert (payload is None) == (error != 0)
    if payload is not None and "fields" in step:
        assert payload.hex() == step["fields"]["payload"]


def test_every_step_was_played() -> None:
    steps = [step for scenario in SCENARIOS for step in scenario["steps"]]
    assert (len(SCENARIOS), sum("hex" in step for step in steps)) == (61, 328)
