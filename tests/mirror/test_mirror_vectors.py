"""Replay every scenario of cryptoauth.json with the mirror, playing the reference bit for bit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from dexmesh.wire.address import parse_address
from dexmesh.wire.control import AuthenticationFailure, ErrorFrame, decode_control
from dexmesh.wire.headers import SWITCH_HEADER_BYTES
from tests.mirror import toolbox
from tests.mirror.cryptoauth import ESTABLISHED, Session, Verdict
from tests.mirror.toolbox import Credential, ReplayWindow, User
from tests.vectors.loading import load, names

VECTORS = load("cryptoauth.json")
SCENARIOS = VECTORS["scenarios"]
PRIMITIVES = VECTORS["primitives"]
SMALLEST_FIRST_DATAGRAM_BYTES = 120  # 01 §14


@dataclass
class Scripted:
    """The randomness one captured packet was made with."""

    fields: dict[str, Any]

    def temp_private(self) -> bytes:
        return bytes.fromhex(self.fields["sender_temp_private"])

    def handshake_nonce(self) -> bytes:
        return bytes.fromhex(self.fields["handshake_nonce"])

    def lookup(self) -> bytes:
        return bytes.fromhex(self.fields["auth"])[1:10]


def private_of(identity: str) -> bytes:
    return bytes.fromhex(VECTORS["identities"][identity]["private"])


def public_of(identity: str) -> bytes:
    return bytes.fromhex(VECTORS["identities"][identity]["public"])


def credential_of(entry: dict[str, Any] | None) -> Credential | None:
    if entry is None:
        return None
    login = entry["login"]
    return Credential(entry["password"].encode(), None if login is None else login.encode())


def users_of(name: str) -> list[User]:
    """The configured users after the one every node has by itself (01 §3)."""
    users = [User(b"Local Peers", b"random, unknown to the peer")]
    for entry in VECTORS["users"][name]:
        login = entry.get("login") or f"Anon #{len(users)}"
        only = entry.get("only_ipv6")
        address = None if only is None else parse_address(only)
        users.append(User(login.encode(), entry["password"].encode(), address))
    return users


def reference_of(scenario: dict[str, Any]) -> Session:
    """The reference's side. Only sessions that others begin require a credential (README)."""
    is_called = scenario["reference_role"] == "responder"
    return Session(
        private_of(scenario["reference_identity"]),
        key_in_first_packet(scenario) if is_called else public_of(scenario["peer_identity"]),
        now=0.0,
        users=users_of(scenario["reference_users"]),
        credential=credential_of(scenario["reference_credentials"]),
        require_auth=is_called,
    )


def key_in_first_packet(scenario: dict[str, Any]) -> bytes:
    """Whom a link from an unknown endpoint is made for (01 §14)."""
    return bytes.fromhex(scenario["steps"][0]["hex"])[40:72]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=names(SCENARIOS, "name"))
def test_the_mirror_plays_the_reference(scenario: dict[str, Any]) -> None:
    session, now = reference_of(scenario), 0.0
    for number, step in enumerate(scenario["steps"]):
        if "wait_seconds" in step:
            now += step["wait_seconds"]
            send_what_the_capture_left_out(session, scenario["steps"][number + 1], now - 1)
        elif step["from"] == "peer":
            hear(session, step, now)
        else:
            payload = bytes.fromhex(step["fields"]["payload"])
            packet = session.send(payload, now, Scripted(step["fields"]))
            assert packet.hex() == step["hex"], number


def send_what_the_capture_left_out(session: Session, then: dict[str, Any], now: float) -> None:
    """Data the reference sent during a wait: its counter shows how many packets."""
    counter = then.get("reference_state_before") or 0
    if session.state != ESTABLISHED:
        return
    while session.next < counter:
        session.send(b"left out", now, Scripted({}))


def hear(session: Session, step: dict[str, Any], now: float) -> None:
    packet = bytes.fromhex(step["hex"])
    if step["result"] == "IGNORED":
        assert len(packet) < SMALLEST_FIRST_DATAGRAM_BYTES
        return
    before = step.get("reference_state_before")
    if before is not None:
        assert session.next == before, step.get("note")
    verdict, payload = session.receive(packet, now)
    assert verdict.name == step["result"], step.get("note")
    if verdict is Verdict.ACCEPT and "fields" in step:
        assert payload.hex() == step["fields"]["payload"]


# Peers of the captures were driven by hand; in these scenarios they did what a node does.
WELL_BEHAVED_PEERS = (
    "responder_login_auth",
    "responder_password_unnamed_user",
    "responder_unnamed_user_login",
    "responder_ip_restricted_good",
    "responder_hello_empty",
    "responder_non_fc_key",
    "users_same_login_first_ok",
    "users_second_login",
    "users_type1_second_password",
    "rehandshake_after_silence_peer_lower",
)


@pytest.mark.parametrize("name", WELL_BEHAVED_PEERS)
def test_the_mirror_plays_the_peer(name: str) -> None:
    scenario = next(scenario for scenario in SCENARIOS if scenario["name"] == name)
    session, now = peer_of(scenario, 0.0), 0.0
    for number, step in enumerate(scenario["steps"]):
        if "wait_seconds" in step:
            now += step["wait_seconds"]
        elif step["from"] == "reference":
            verdict, payload = session.receive(bytes.fromhex(step["hex"]), now)
            assert (verdict, payload.hex()) == (Verdict.ACCEPT, step["fields"]["payload"]), number
        else:
            if "restarted peer" in step.get("note", ""):
                session = peer_of(scenario, now)
            payload = bytes.fromhex(step["fields"]["payload"])
            assert session.send(payload, now, Scripted(step["fields"])).hex() == step["hex"], number


def peer_of(scenario: dict[str, Any], now: float) -> Session:
    return Session(
        private_of(scenario["peer_identity"]),
        public_of(scenario["reference_identity"]),
        now,
        credential=credential_of(scenario["peer_credentials"]),
    )


def test_every_step_was_played() -> None:
    steps = [step for scenario in SCENARIOS for step in scenario["steps"]]
    assert (len(SCENARIOS), sum("hex" in step for step in steps)) == (61, 328)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=names(SCENARIOS, "name"))
def test_packets_of_both_sides_are_what_their_fields_say(scenario: dict[str, Any]) -> None:
    """Built from the captured secrets alone, without any state."""
    for number, step in enumerate(scenario["steps"]):
        fields = step.get("fields", {})
        if step.get("altered") or not {"box_secret", "session_secret"} & fields.keys():
            continue
        identity = scenario[f"{step['from']}_identity"]
        assert build(fields, public_of(identity)).hex() == step["hex"], number


def build(fields: dict[str, Any], sender: bytes) -> bytes:
    payload = bytes.fromhex(fields["payload"])
    word = fields["nonce"].to_bytes(4, "big")
    if fields["kind"] == "DATA":
        secret = bytes.fromhex(fields["session_secret"])
        nonce = toolbox.data_nonce(fields["nonce"], fields["sender_is_initiator"])
        return bytes(word + toolbox.seal(secret, nonce, payload))
    nonce = bytes.fromhex(fields["handshake_nonce"])
    temp_public = toolbox.public_of(bytes.fromhex(fields["sender_temp_private"]))
    sealed = toolbox.seal(bytes.fromhex(fields["box_secret"]), nonce, temp_public + payload)
    return bytes(word + bytes.fromhex(fields["auth"]) + nonce + sender + sealed)


def test_the_mirror_plays_the_reference_at_the_end_of_a_path() -> None:
    """`session_layer`: handles around CryptoAuth, error frames with verdict and state (01 §15)."""
    layer = VECTORS["session_layer"]
    session = Session(
        private_of(layer["identity_reference"]),
        public_of(layer["identity_peer"]),
        now=0.0,
        users=users_of("responder_users"),
        is_link=False,
    )
    own_handle = next(s["handle_in_payload"] for s in layer["steps"] if s["from"] == "reference")
    verdict = Verdict.ACCEPT
    for number, step in enumerate(layer["steps"]):
        packet = bytes.fromhex(step["link_plaintext"])[SWITCH_HEADER_BYTES:]
        if step["from"] == "peer":
            verdict = hear_at_end_of_path(session, step, packet, own_handle)
        elif step["kind"] == "CONTROL_ERROR":
            error = decode_control(packet[4:])
            assert isinstance(error, ErrorFrame)
            failure = error.authentication_failure()
            assert failure == AuthenticationFailure(verdict, session.state), number
        else:
            sent = session.send(bytes.fromhex(step["inner_payload"]), 0.0, Scripted(step))
            is_data = step["kind"] == "DATA"
            assert sent == (packet[4:] if is_data else packet), number


def hear_at_end_of_path(
    session: Session, step: dict[str, Any], packet: bytes, own_handle: int
) -> Verdict:
    if step["kind"] == "DATA":
        handle, packet = int.from_bytes(packet[:4], "big"), packet[4:]
        if handle != own_handle or int.from_bytes(packet[:4], "big") < 4:
            return Verdict.NO_SESSION
    verdict, payload = session.receive(packet, 0.0)
    if verdict is Verdict.ACCEPT:
        assert payload.hex() == step["inner_payload"]
    return verdict


@pytest.mark.parametrize("case", PRIMITIVES["password_challenge"], ids=lambda c: c["challenge"])
def test_credentials_have_these_lookup_values(case: dict[str, Any]) -> None:
    credential = credential_of(case)
    assert credential is not None
    assert credential.secret.hex() == case["secret"]
    assert credential.lookup.hex() + "00000000" == case["challenge"]


def test_shared_secrets_with_and_without_password() -> None:
    for case in PRIMITIVES["shared_secret"]:
        private, public = bytes.fromhex(case["private"]), bytes.fromhex(case["public"])
        secret = Credential(case["password"].encode()).secret
        assert toolbox.handshake_key(private, public, None).hex() == case["without_password"]
        assert toolbox.handshake_key(private, public, secret).hex() == case["with_password"]


def test_sealing_and_nonces() -> None:
    for case in PRIMITIVES["box"]:
        key, nonce = bytes.fromhex(case["secret"]), bytes.fromhex(case["nonce"])
        assert toolbox.seal(key, nonce, bytes.fromhex(case["plain"])).hex() == case["boxed"]
    for case in PRIMITIVES["data_nonce"]:
        made = toolbox.data_nonce(case["counter"], case["sender_is_initiator"])
        assert made.hex() == case["nonce24"]


def test_the_replay_window_judges_801_counters_like_the_reference() -> None:
    case = VECTORS["replay_window"]
    window = ReplayWindow(base=case["first_data_nonce"] + 1)
    assert [int(window.accepts(counter)) for counter in case["nonces"]] == case["accepted"]
    assert (window.base, f"{window.bits:016x}") == (case["final"]["base"], case["final"]["bits"])
