"""Hold packets back just long enough that most arrive before their time to be played.

Place     receiver.py: `put` each packet, `adjust` and `take` for every 20 ms that are played
Spec      docs/apps/sip.md §3 Media (40-200 ms, adaptive; bursts of loss and delay up to seconds)
Keeps     the delay is LEAST_MS to MOST_MS; at most MAX_PACKETS wait; a packet that was overtaken by
          the sound is never played after it
Not here  lost packets and doubles (reception.py), making up what is missing (the codec)

The algorithm. Playing runs on: every 20 ms the place in the sound moves by 20 ms, whether packets are
there or not. What changes is how far behind the fastest packets it runs, the *delay*.

* A packet's *transit* is its arrival minus its timestamp; the least of the last 5 to 10 s is that of a
  packet which waited nowhere. The *lateness* of a packet is its transit above that.
* Latenesses below 200 ms (no waiting saves the others) go into steps of 20 ms, where older ones count
  less: half after 1.7 s. The *target* is the first step behind which lie 2 % at most, and one step
  more, within 40 to 200 ms.
* A delay more than 20 ms above the target is shortened by 20 ms, more than 20 ms below is stretched by as
  much, one step in 100 ms; `receiver.py` does it without a click.
* An empty buffer and a packet that comes late: playing goes back to that packet, so that nothing that
  arrived is thrown away. If it came later than 200 ms the way has changed: all begins anew with it.
* A crowd of packets at once (a route came back) that reaches more than 240 ms ahead: playing jumps to the
  target before the newest.
"""

from __future__ import annotations

from bisect import insort
from enum import Enum
from typing import Final

from dexmesh.apps.call.media.drops import DropReason
from dexmesh.apps.call.media.formats import FRAME_MS
from dexmesh.apps.call.media.rtp import TIMESTAMPS

LEAST_MS: Final = 40
MOST_MS: Final = 200
MAX_PACKETS: Final = 64  # ours: 200 ms in packets of 5 ms, and some
CHANGE_EVERY_S: Final = 0.1  # ours
LATE_SHARE: Final = 0.02  # ours: so much may come too late

_JUMP_MS: Final = MOST_MS + 2 * FRAME_MS  # a delay may be a frame off, and moves by frames

_STEPS: Final = MOST_MS // FRAME_MS
_WINDOW_PACKETS: Final = 250  # 5 s of packets of 20 ms
_GROWTH: Final = 1.008  # of the weight from packet to packet: the half-life is 87
_MOST_WEIGHT: Final = 1e9
_JUDGE_EVERY: Final = 10  # packets
_SMOOTHING: Final = 16


class Gap(Enum):
    """Why there is no packet to play."""

    BEFORE_START = "the first packet is not due yet"
    EMPTY = "nothing has arrived in time"
    LOST = "later packets are here, this one is not"
    PAUSE = "the other side left a pause"


class JitterBuffer:
    """The waiting packets of one source. `clock` is the RTP clock in Hz."""

    __slots__ = (
        "_change_at",
        "_clock",
        "_frame",
        "_judge_in",
        "_last_played",
        "_late",
        "_late_total",
        "_least",
        "_least_before",
        "_most_ahead",
        "_newest",
        "_next",
        "_offset",
        "_packets",
        "_timestamp",
        "_weight",
        "_window_left",
        "overflowed",
        "target",
    )

    def __init__(self, clock: int) -> None:
        self.overflowed = 0  # packets thrown away to catch up
        self._clock = clock
        self._frame = clock * FRAME_MS // 1000
        self._most_ahead = clock * _JUMP_MS // 1000
        self.target = clock * LEAST_MS // 1000  # in units of the clock, as all below
        self._packets: list[tuple[int, int, bytes]] = []  # timestamp, sequence, payload; in order
        self._next: int | None = None  # the timestamp that is played next
        self._last_played = -1  # its sequence number
        self._timestamp = 0  # of the last packet, with wraps
        self._newest = 0
        self._offset = 0  # the moment at which timestamp 0 would be played, smoothed
        self._least = self._least_before = 1 << 62
        self._window_left = _WINDOW_PACKETS
        self._late = [0.0] * _STEPS
        self._late_total = 0.0
        self._weight = 1.0
        self._judge_in = _JUDGE_EVERY
        self._change_at = 0.0

    def put(self, timestamp: int, sequence: int, payload: bytes, now: float) -> DropReason | None:
        """Take in a packet. `sequence` is extended by its wraps, `timestamp` that of the wire."""
        change = (timestamp - self._timestamp) & 0xFFFFFFFF
        if change >> 31:
            change -= TIMESTAMPS
        self._timestamp = placed = self._timestamp + change
        arrival = int(now * self._clock)
        place = self._next
        if place is None:
            self._start(placed, arrival)
        elif placed < place:
            if self._packets or sequence <= self._last_played:
                self._learn(arrival - placed)
                return DropReason.LATE
            self._go_back(placed, arrival)
        self._learn(arrival - placed)
        return self._insert(placed, sequence, payload)

    def _insert(self, placed: int, sequence: int, payload: bytes) -> DropReason | None:
        packets = self._packets
        if not packets or placed > packets[-1][0]:
            packets.append((placed, sequence, payload))
            self._newest = placed
        elif len(packets) >= MAX_PACKETS:
            return DropReason.OVERFLOW
        elif any(placed == one[0] for one in packets):
            return DropReason.DUPLICATE
        else:
            insort(packets, (placed, sequence, payload))
        if len(packets) > MAX_PACKETS or self.ahead > self._most_ahead:
            self._jump()
        return None

    def __len__(self) -> int:
        return len(self._packets)

    @property
    def ahead(self) -> int:
        """From the place that is played to the beginning of the newest packet."""
        return self._newest - self._next if self._packets and self._next is not None else 0

    def _start(self, placed: int, arrival: int) -> None:
        self._next = placed - self.target
        self._offset = arrival - self._next
        self._newest = placed

    def _go_back(self, placed: int, arrival: int) -> None:
        """Nothing waits and this comes late: what was made up in its place is said again in truth."""
        assert self._next is not None  # noqa: S101 for mypy
        late = self._next - placed
        if late > self._clock * MOST_MS // 1000:
            self._least = self._least_before = arrival - placed
            self._window_left = _WINDOW_PACKETS
            self._start(placed, arrival)
        else:
            self._next = placed
            self._offset += late

    def _jump(self) -> None:
        """Too much waits: go on at the target before the newest packet."""
        assert self._next is not None  # noqa: S101 for mypy
        place = max(self._next, self._newest - self.target)
        kept = [one for one in self._packets if one[0] >= place][-MAX_PACKETS // 2 :]
        self.overflowed += len(self._packets) - len(kept)
        self._packets = kept
        self._offset -= place - self._next
        self._next = place

    def _learn(self, transit: int) -> None:
        """Weigh one packet's lateness, and judge the target now and then."""
        if transit < self._least:
            self._least = transit
        self._window_left -= 1
        if not self._window_left:
            self._turn_window(transit)
        step = (transit - min(self._least, self._least_before)) // self._frame
        if step < _STEPS:
            self._weight *= _GROWTH
            self._late[step] += self._weight
            self._late_total += self._weight
        self._judge_in -= 1
        if not self._judge_in:
            self._judge()

    def _turn_window(self, transit: int) -> None:
        """Forget the older half of the leasts; if all are greater now, what was late is so by less."""
        before = min(self._least, self._least_before)
        self._window_left = _WINDOW_PACKETS
        self._least_before, self._least = self._least, transit
        steps = min((min(self._least, self._least_before) - before) // self._frame, _STEPS)
        if steps > 0:
            late = [*self._late[steps:], *[0.0] * steps]
            late[0] += sum(self._late[:steps])
            self._late = late

    def _judge(self) -> None:
        self._judge_in = _JUDGE_EVERY
        allowed = self._late_total * LATE_SHARE
        step, behind = _STEPS, 0.0
        while step > 0 and behind + self._late[step - 1] <= allowed:
            step -= 1
            behind += self._late[step]
        steps = min(max(step + 1, LEAST_MS // FRAME_MS), _STEPS)
        self.target = steps * self._frame
        if self._weight > _MOST_WEIGHT:
            self._late = [one / self._weight for one in self._late]
            self._late_total /= self._weight
            self._weight = 1.0

    @property
    def delay_ms(self) -> float:
        """How long the fastest packets wait here."""
        return max(0, self._delay) * 1000 / self._clock if self._next is not None else 0.0

    @property
    def _delay(self) -> int:
        return self._offset - min(self._least, self._least_before)

    def adjust(self, now: float) -> int:
        """Once for every 20 ms: -1 to play two frames as one, +1 to play one made up, else 0."""
        if self._next is None:
            return 0
        self._offset += (int(now * self._clock) - self._next - self._offset) // _SMOOTHING
        excess = self._delay - self.target
        if -self._frame <= excess <= self._frame or now < self._change_at:
            return 0
        if excess > 0 and len(self._packets) < 2:
            return 0
        self._change_at = now + CHANGE_EVERY_S
        if excess > 0:
            self._offset -= self._frame  # the caller takes one frame more
            return -1
        self._offset += self._frame
        return 1

    def take(self) -> bytes | Gap:
        """The payload that is due; the caller says by `advance` how much sound was in it."""
        if self._next is None:
            return Gap.BEFORE_START
        if not self._packets:
            return Gap.EMPTY
        placed, sequence, payload = self._packets[0]
        if placed >= self._next + self._frame:
            if self._last_played < 0:
                return Gap.BEFORE_START
            return Gap.PAUSE if sequence == self._last_played + 1 else Gap.LOST
        del self._packets[0]
        self._next = placed
        self._last_played = sequence
        return payload

    def advance(self, units: int) -> None:
        """So much sound was played or made up, in units of the RTP clock."""
        if self._next is not None:
            self._next += units

    def successor(self) -> bytes | None:
        """The packet right behind a lost frame, which may tell what was in that (Opus FEC)."""
        if self._packets and self._next is not None:
            placed, _, payload = self._packets[0]
            if placed < self._next + 2 * self._frame:
                return payload
        return None
