"""The engine plays every recorded session bit for bit, in the part of either side."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.mirror import toolbox
from tests.mirror.cryptoauth import Session, Verdict
from tests.mirror.players import EnginePlayer, Setting, Tape
from tests.vectors.cryptoauth_plays import (
    AS_A_PEER,
    SCENARIOS,
    VECTORS,
    ScriptedTape,
    play_peer,
    play_reference,
    play_session_layer,
    private_of,
    public_of,
)
from tests.vectors.loading import names

# Whom a scenario leads in; where it names nobody, the packets do not tell.
USERS = {
    "responder_login_auth": b"bob",
    "responder_unnamed_user_login": b"Anon #4",
    "responder_password_unnamed_user": b"Anon #4",
    "responder_ip_restricted_good": b"carol",
    "users_same_login_first_ok": b"u1",
    "users_second_login": b"u2",
}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=names(SCENARIOS, "name"))
def test_the_engine_plays_the_reference(scenario: dict[str, Any]) -> None:
    player = play_reference(scenario, EnginePlayer)
    assert isinstance(player, EnginePlayer)
    if scenario["name"] in USERS:
        assert player.user == USERS[scenario["name"]]


def test_every_named_user_has_its_scenario() -> None:
    assert USERS.keys() <= {scenario["name"] for scenario in SCENARIOS}


class LoosePlayer(EnginePlayer):
    """Plays a peer that was driven by hand, whose packets may need other randomness."""

    def seal(self, payload: bytes, now_ms: int, tape: Tape) -> bytes:
        return self.seal_with(payload, now_ms, tape.drawn)


def test_the_engine_plays_the_peer_as_far_as_a_node_would_go() -> None:
    outcomes = (play_peer(scenario, LoosePlayer) for scenario in SCENARIOS)
    assert sum(outcomes, Counter()) == AS_A_PEER


def test_the_engine_plays_the_reference_at_the_end_of_a_path() -> None:
    play_session_layer(EnginePlayer)


def test_the_replay_window_of_the_engine_judges_801_counters_like_the_reference() -> None:
    case = VECTORS["replay_window"]
    caller = Session(private_of("B"), public_of("A"), now=0.0)
    called = EnginePlayer(
        Setting(is_caller=False, private_key=private_of("A"), her_public=public_of("B")), now_ms=0
    )
    tape = ScriptedTape({"kind": "HELLO", "auth": "00" * 12, "sender_temp_private": "07" * 32})
    assert called.open(caller.send(b"", 0.0, tape), 0)[0] == Verdict.ACCEPT
    assert caller.receive(called.seal(b"", 0, tape), 0.0)[0] is Verdict.ACCEPT
    assert called.open(caller.send(b"", 0.0, tape), 0)[0] == Verdict.ACCEPT
    assert caller.next == case["first_data_nonce"] + 1
    secret = toolbox.box_key(tape.temp_private(), toolbox.public_of(tape.temp_private()))
    verdicts = []
    for counter in case["nonces"]:
        sealed = toolbox.seal(secret, toolbox.data_nonce(counter, sender_is_initiator=True), b"")
        verdicts.append(called.open(counter.to_bytes(4, "big") + sealed, 0)[0])
    assert [verdict == Verdict.ACCEPT for verdict in verdicts] == [
        accepted == 1 for accepted in case["accepted"]
    ]
    assert set(verdicts) == {Verdict.ACCEPT, Verdict.REPLAY}
    window = called.snapshot()
    final = case["final"]
    assert (window.window_base, f"{window.window_bits:016x}") == (final["base"], final["bits"])
