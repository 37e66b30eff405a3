"""Replay every scenario of cryptoauth.json with the mirror, playing the reference bit for bit."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.mirror import toolbox
from tests.mirror.players import MirrorPlayer
from tests.mirror.toolbox import Credential, ReplayWindow
from tests.vectors.cryptoauth_plays import (
    AS_A_PEER,
    SCENARIOS,
    VECTORS,
    credential_of,
    play_peer,
    play_reference,
    play_session_layer,
    public_of,
)
from tests.vectors.loading import names

PRIMITIVES = VECTORS["primitives"]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=names(SCENARIOS, "name"))
def test_the_mirror_plays_the_reference(scenario: dict[str, Any]) -> None:
    play_reference(scenario, MirrorPlayer)


def test_the_mirror_plays_the_peer_as_far_as_a_node_would_go() -> None:
    outcomes = (play_peer(scenario, MirrorPlayer) for scenario in SCENARIOS)
    assert sum(outcomes, Counter()) == AS_A_PEER


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
    play_session_layer(MirrorPlayer)


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
