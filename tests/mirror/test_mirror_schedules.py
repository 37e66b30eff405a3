"""The mirror against itself: whatever happened before, two calm sides come together."""

from __future__ import annotations

import hashlib

import pytest

from tests.mirror.cryptoauth import ESTABLISHED, INIT, LAST_COUNTER, Session, Verdict
from tests.mirror.players import MirrorPlayer
from tests.mirror.schedules import Duel
from tests.mirror.toolbox import (
    LowOrderKeyError,
    ReplayWindow,
    handshake_key,
    public_of,
    seal,
)

SEEDS = range(120)
STEPS = 150
# A handshake that leads nowhere is given up after SETUP_TIMEOUT_S; then one round does it.
CALM_SECONDS = 15

A, B = bytes(range(32)), bytes(range(1, 33))


class Numbered:
    """Randomness that never repeats and never surprises."""

    def __init__(self) -> None:
        self._count = 0

    def temp_private(self) -> bytes:
        return self._next(32)

    def handshake_nonce(self) -> bytes:
        return self._next(24)

    def lookup(self) -> bytes:
        return self._next(9)

    def _next(self, length: int) -> bytes:
        self._count += 1
        return hashlib.sha256(b"%d" % self._count).digest()[:length]


def pair() -> tuple[Session, Session, Numbered]:
    return Session(A, public_of(B), 0.0), Session(B, public_of(A), 0.0), Numbered()


def establish(a: Session, b: Session, randomness: Numbered, now: float = 0.0) -> None:
    for sender, receiver in ((a, b), (b, a), (a, b), (b, a)):
        verdict, payload = receiver.receive(sender.send(b"hello", now, randomness), now)
        assert (verdict, payload) == (Verdict.ACCEPT, b"hello")
    assert a.state == b.state == ESTABLISHED


@pytest.mark.parametrize("seed", SEEDS)
def test_two_sides_come_together_after_any_mess(seed: int) -> None:
    duel = Duel(seed, MirrorPlayer)
    duel.run(STEPS)
    duel.calm_down(CALM_SECONDS)
    assert duel.is_up()


def test_the_schedules_run_into_every_verdict_of_the_protocol() -> None:
    verdicts: set[int] = set()
    for seed in SEEDS:
        duel = Duel(seed, MirrorPlayer)
        duel.run(STEPS)
        verdicts |= duel.sides[0].verdicts | duel.sides[1].verdicts
    rare = {Verdict.IP_RESTRICTED, Verdict.WISEGUY}
    assert {Verdict(number) for number in verdicts} >= set(Verdict) - rare


def test_payloads_before_an_answer_travel_in_repeated_hellos() -> None:
    a, b, randomness = pair()
    packets = [a.send(b"%d" % number, 0.0, randomness) for number in range(3)]
    assert [packet[3] for packet in packets] == [0, 1, 1]
    assert [b.receive(packet, 0.0)[1] for packet in packets] == [b"0", b"1", b"2"]
    answers = [b.send(b"%d" % number, 0.0, randomness) for number in range(2)]
    assert [answer[3] for answer in answers] == [2, 3]
    assert [a.receive(answer, 0.0)[1] for answer in answers] == [b"0", b"1"]


def test_a_replayed_key_is_always_dropped() -> None:
    a, b, randomness = pair()
    b.receive(a.send(b"", 0.0, randomness), 0.0)
    key = b.send(b"", 0.0, randomness)
    assert a.receive(key, 0.0)[0] is Verdict.ACCEPT
    assert a.receive(key, 0.0)[0] is Verdict.INVALID_PACKET
    b.receive(a.send(b"x", 0.0, randomness), 0.0)
    assert a.receive(key, 0.0)[0] is Verdict.INVALID_PACKET
    a.receive(b.send(b"x", 0.0, randomness), 0.0)
    assert a.receive(key, 0.0)[0] is Verdict.KEY_PKT_ESTABLISHED_SESSION


def test_two_crossing_hellos_leave_the_lower_key_as_initiator() -> None:
    a, b, randomness = pair()
    lower, higher = (a, b) if public_of(A) < public_of(B) else (b, a)
    from_lower, from_higher = lower.send(b"l", 0.0, randomness), higher.send(b"h", 0.0, randomness)
    assert lower.receive(from_higher, 0.0) == (Verdict.ACCEPT, b"h")
    assert higher.receive(from_lower, 0.0) == (Verdict.ACCEPT, b"l")
    assert lower.send(b"", 0.0, randomness)[3] == 1
    assert higher.send(b"", 0.0, randomness)[3] == 2


def test_a_side_that_was_reset_is_taken_back() -> None:
    a, b, randomness = pair()
    establish(a, b, randomness)
    a.reset()
    assert a.state == INIT
    assert a.receive(b.send(b"lost", 1.0, randomness), 1.0)[0] is Verdict.NO_SESSION
    establish(a, b, randomness, now=1.0)


def test_counters_stop_before_they_wrap() -> None:
    a, b, randomness = pair()
    establish(a, b, randomness)
    a._hs.next = LAST_COUNTER - 1
    assert a.send(b"", 0.0, randomness)[:4] == (LAST_COUNTER - 1).to_bytes(4, "big")
    assert a.send(b"", 0.0, randomness)[:4] == bytes(4)


def test_silence_counts_in_whole_seconds_since_the_last_data() -> None:
    a, b, randomness = pair()
    establish(a, b, randomness, now=0.9)
    assert a.send(b"", 59.99, randomness)[:4] != bytes(4)
    assert a.send(b"", 60.0, randomness)[:4] == bytes(4)


def test_between_ends_of_a_path_data_does_not_look_at_the_clock() -> None:
    a = Session(A, public_of(B), 0.0, is_link=False)
    b = Session(B, public_of(A), 0.0, is_link=False)
    randomness = Numbered()
    establish(a, b, randomness)
    late = b.send(b"late", 59.0, randomness)
    assert a.receive(late, 1000.0) == (Verdict.ACCEPT, b"late")


def test_a_key_of_low_order_opens_nothing() -> None:
    low_order = bytes(31) + b"\x80"
    with pytest.raises(LowOrderKeyError):
        handshake_key(A, low_order, None)
    session = Session(A, low_order, 0.0)
    forged = bytes(40) + low_order + seal(bytes(32), bytes(24), bytes(32))
    assert session.receive(forged, 0.0)[0] is Verdict.HANDSHAKE_DECRYPT_FAILED


def test_no_counter_passes_the_window_twice() -> None:
    window, randomness = ReplayWindow(), Numbered()
    passed: list[int] = []
    for number in range(3000):
        jitter = int.from_bytes(randomness.lookup()[:2], "big") % 90
        counter = number // 2 + jitter
        if window.accepts(counter):
            passed.append(counter)
    assert len(passed) == len(set(passed)) > 500
