"""Play random schedules of sending, losing, repeating, damaging and waiting with two sides.

Place     test_mirror_schedules.py (the mirror alone) and test_agreement.py (mirror and engine)
Spec      docs/protocol/01 §17 is the list of what such schedules must run into
Keeps     one seed, one run, whoever plays
Not here  the players, and that they agree (players.py)
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.mirror.cryptoauth import ESTABLISHED
from tests.mirror.players import MakePlayer, Player, Setting
from tests.mirror.toolbox import Credential, User, public_of

ALICE = User(b"alice", b"alpha-password-0001")
BOB = User(b"bob", b"beta-password-0002")
CREDENTIALS = (
    Credential(ALICE.password),
    Credential(ALICE.password, ALICE.login),
    Credential(BOB.password, BOB.login),
)
MOST_PACKETS_UNDER_WAY = 12


class RandomTape:
    """Randomness of one packet: drawn by the first player, played again to the others."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.drawn = b""

    def temp_private(self) -> bytes:
        return self._draw(32)

    def handshake_nonce(self) -> bytes:
        return self._draw(24)

    def lookup(self) -> bytes:
        return self._draw(9)

    def _draw(self, length: int) -> bytes:
        piece = self._rng.randbytes(length)
        self.drawn += piece
        return piece


@dataclass
class Side:
    """One end: who plays it, and what is under way towards it."""

    setting: Setting
    player: Player
    inbox: list[bytes] = field(default_factory=list)
    said: bytes = b""
    heard: bytes = b""
    verdicts: set[int] = field(default_factory=set)

    def seal(self, payload: bytes, now_ms: int, rng: random.Random) -> bytes:
        self.said = payload
        return self.player.seal(payload, now_ms, RandomTape(rng))

    def open(self, packet: bytes, now_ms: int) -> None:
        verdict, payload = self.player.open(packet, now_ms)
        self.verdicts.add(verdict)
        if verdict == 0:
            self.heard = payload


class Duel:
    """Two sides, a line between them, and somebody who plays with it."""

    def __init__(self, seed: int, make_player: MakePlayer) -> None:
        self._rng = random.Random(seed)
        self._make_player = make_player
        self._sent = 0
        self._old: list[bytes] = []
        self.now_ms = self._rng.randrange(100_000)
        self.sides = self._make_sides()

    def run(self, steps: int) -> None:
        """That many random steps, with a look at both sides after each."""
        for _ in range(steps):
            self._step()
            for side in self.sides:
                side.player.snapshot()

    def calm_down(self, seconds: int) -> None:
        """Nobody interferes: each second both send, and everything arrives."""
        for side in self.sides:
            side.inbox.clear()
        for _ in range(seconds):
            self.now_ms += 1000
            for number, side in enumerate(self.sides):
                self._send(number)
                other = self.sides[1 - number]
                other.open(other.inbox.pop(), self.now_ms)
                side.player.snapshot()

    def is_up(self) -> bool:
        """Whether both sides are established and the last payloads arrived."""
        first, second = self.sides
        return all(
            side.player.snapshot().state == ESTABLISHED and side.heard == other.said
            for side, other in ((first, second), (second, first))
        )

    def _make_sides(self) -> tuple[Side, Side]:
        caller, called = self._rng.randbytes(32), self._rng.randbytes(32)
        is_link = self._rng.random() < 0.8
        has_credential = is_link and self._rng.random() < 0.7
        settings = (
            Setting(
                is_caller=True,
                private_key=caller,
                her_public=public_of(called),
                users=(),
                credential=self._rng.choice(CREDENTIALS) if has_credential else None,
                require_auth=False,
                is_link=is_link,
            ),
            Setting(
                is_caller=False,
                private_key=called,
                her_public=public_of(caller),
                users=(ALICE, BOB) if has_credential else (),
                credential=None,
                require_auth=has_credential,
                is_link=is_link,
            ),
        )
        first, second = (
            Side(setting, self._make_player(setting, self.now_ms)) for setting in settings
        )
        return first, second

    def _step(self) -> None:
        number = self._rng.randrange(2)
        side = self.sides[number]
        actions: dict[Callable[[], None], float] = {
            lambda: self._send(number): 40,
            lambda: self._deliver(side): 40,
            lambda: self._lose(side): 5,
            lambda: self._replay(side): 4,
            lambda: self._deliver_damaged(side): 4,
            lambda: self._deliver_forged(side): 2,
            self._wait: 8,
            lambda: self._restart(number): 1,
            lambda: self._reset(side): 0.5,
            lambda: self._change_credential(side): 0.5,
        }
        (action,) = self._rng.choices(list(actions), weights=list(actions.values()))
        action()

    def _send(self, number: int) -> None:
        self._sent += 1
        payload = b"payload %d" % self._sent
        packet = self.sides[number].seal(payload, self.now_ms, self._rng)
        inbox = self.sides[1 - number].inbox
        inbox.append(packet)
        del inbox[:-MOST_PACKETS_UNDER_WAY]
        self._old.append(packet)
        del self._old[:-50]

    def _deliver(self, side: Side) -> None:
        if side.inbox:
            is_in_order = self._rng.random() < 0.8
            place = 0 if is_in_order else self._rng.randrange(len(side.inbox))
            side.open(side.inbox.pop(place), self.now_ms)

    def _lose(self, side: Side) -> None:
        if side.inbox:
            side.inbox.pop(self._rng.randrange(len(side.inbox)))

    def _replay(self, side: Side) -> None:
        if self._old:
            side.open(self._rng.choice(self._old), self.now_ms)

    def _deliver_damaged(self, side: Side) -> None:
        if not self._old:
            return
        packet = bytearray(self._rng.choice(self._old))
        if self._rng.random() < 0.3:
            del packet[self._rng.randrange(len(packet)) :]
        else:
            packet[self._rng.randrange(self._rng.choice((4, 12, len(packet))))] ^= (
                1 << self._rng.randrange(8)
            )
        side.open(bytes(packet), self.now_ms)

    def _deliver_forged(self, side: Side) -> None:
        word = self._rng.choice((0, 1, 2, 3, 4, 5, 100, 0xFFFFFFFF)).to_bytes(4, "big")
        side.open(word + self._rng.randbytes(self._rng.randrange(200)), self.now_ms)

    def _wait(self) -> None:
        self.now_ms += self._rng.choice((50, 400, 1000, 3000, 9999, 10000, 59500, 60000))

    def _restart(self, number: int) -> None:
        """The program of one side was killed and started again."""
        side = self.sides[number]
        side.player = self._make_player(side.setting, self.now_ms)

    def _reset(self, side: Side) -> None:
        side.player.reset()

    def _change_credential(self, side: Side) -> None:
        if side.setting.credential is not None:
            side.player.set_credential(self._rng.choice(CREDENTIALS))
