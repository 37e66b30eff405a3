"""Keep the switch pings that wait for an answer, and say how each one ended.

Place     keepalive.py and requests.py start pings -> SendControl; control.py hands answers in
Spec      docs/protocol/03 §10.3-10.4
Keeps     at most MAX_WAITING pings; every ping that was started ends exactly once
Not here  answering the pings of others (control.py), when to ping a peer (keepalive.py)
"""

from __future__ import annotations

from collections.abc import Callable

from dexmesh.engine.messages import SendControl
from dexmesh.mesh.identity import Identity
from dexmesh.mesh.notices import Emit
from dexmesh.mesh.randomness import Random
from dexmesh.values import dataclass
from dexmesh.wire.control import (
    MAX_KEYPING_DATA_BYTES,
    MAX_PING_DATA_BYTES,
    KeyPing,
    KeyPong,
    Ping,
    Pong,
    encode_control,
)
from dexmesh.wire.keys import PublicKey
from dexmesh.wire.label import Label

COOKIE_BYTES = 12  # 03 §10.3: cjdns puts as many before the caller's data
MAX_KEEPALIVE_PINGS = 50  # 04 §7
MAX_WAITING = 114  # ours: 50 of the keep-alive and 64 asked for by people


@dataclass(frozen=True, slots=True)
class PingOutcome:
    """How a ping ended. `label` is where the answer came from, None if none came in time."""

    seconds: float
    asked: Label
    label: Label | None
    version: int = 0
    data: bytes = b""
    key: PublicKey | None = None

    @property
    def is_pong(self) -> bool:
        """Whether the answer came from where we asked (04 §7)."""
        return self.label == self.asked


PingDone = Callable[[PingOutcome, float], None]


@dataclass(frozen=True, slots=True)
class _Waiting:
    label: Label
    started_at: float
    deadline: float
    done: PingDone


class SwitchPings:
    """Every ping of the node that waits. Performs no I/O."""

    def __init__(self, identity: Identity, random: Random, emit: Emit) -> None:
        self._identity, self._random, self._emit = identity, random, emit
        self._waiting: dict[bytes, _Waiting] = {}

    def start(
        self,
        label: Label,
        timeout_s: float,
        now: float,
        done: PingDone,
        data: bytes = b"",
        is_key_ping: bool = False,
    ) -> bool:
        """Send a ping along `label`; False if no place is left to wait for its answer.

        Data beyond what a ping may carry is cut off (256 bytes, 52 in a key ping).
        """
        if len(self._waiting) >= MAX_WAITING:
            return False
        cookie = self._random.randbytes(COOKIE_BYTES)
        version, key = self._identity.version, self._identity.key
        if is_key_ping:
            cut = data[: MAX_KEYPING_DATA_BYTES - COOKIE_BYTES]
            frame = encode_control(KeyPing(version, key, cookie + cut))
        else:
            frame = encode_control(Ping(version, cookie + data[:MAX_PING_DATA_BYTES]))
        self._waiting[cookie] = _Waiting(label, now, now + timeout_s, done)
        self._emit(SendControl(label, frame))
        return True

    def handle_pong(self, label: Label, pong: Pong | KeyPong, now: float) -> None:
        """Finish the ping this answers; one that nobody waits for is ignored."""
        waiting = self._waiting.pop(pong.data[:COOKIE_BYTES], None)
        if waiting is None:
            return
        key = pong.key if isinstance(pong, KeyPong) else None
        outcome = PingOutcome(
            seconds=now - waiting.started_at,
            asked=waiting.label,
            label=label,
            version=pong.version,
            data=pong.data[COOKIE_BYTES:],
            key=key,
        )
        waiting.done(outcome, now)

    def next_timeout(self) -> tuple[float, str] | None:
        """When the next ping has waited long enough."""
        if not self._waiting:
            return None
        return min(waiting.deadline for waiting in self._waiting.values()), "switch ping"

    def handle_timeout(self, now: float) -> None:
        """End the pings whose time is over."""
        over = [cookie for cookie, waiting in self._waiting.items() if waiting.deadline <= now]
        for cookie in over:
            waiting = self._waiting.pop(cookie, None)
            if waiting is not None:
                waiting.done(PingOutcome(now - waiting.started_at, waiting.label, None), now)

    def __len__(self) -> int:
        return len(self._waiting)
