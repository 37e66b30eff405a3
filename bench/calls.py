"""Measure the core of the phone: how many calls a second it sets up and ends, and what a text costs.

Place     run by hand: `python -m bench.calls [CALLS]`; prints one line a question, in CPU time
Spec      ours: one phone handles 100 calls a second with room to spare (sip.md §3)
Not here  what is right about it (tests/unit/apps/call/phone), sockets, sound
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Sequence

from dexmesh.apps.call.media.formats import SOUND_FORMATS
from dexmesh.apps.call.phone.core import Phone, uri_at
from dexmesh.apps.call.phone.values import Ended, Ringing, SeatMedia, TextArrived, UserSettings
from dexmesh.apps.call.sip.message import decode, encode
from dexmesh.apps.call.sip.outputs import Send
from dexmesh.apps.call.sip.peer import Peer
from dexmesh.wire.address import Address

CALLS = 2000
CALLERS = 50  # nodes: none of them asks too much
SEAT = SeatMedia(7078, SOUND_FORMATS)
CALLED = Address(b"\xfc" + bytes(14) + b"\xff")


class Everybody:
    """A contact, and a house with one user."""

    def is_contact(self, _address: Address, /) -> bool:
        """Yes."""
        return True

    def is_blocked(self, _address: Address, /) -> bool:
        """No."""
        return False

    def petname_of(self, _address: Address, _user: str, /) -> str | None:
        """Nothing."""
        return None

    def users(self) -> tuple[str, ...]:
        """One."""
        return ("ann",)

    def users_of(self, _name: str, /) -> tuple[str, ...]:
        """No aliases."""
        return ()


class Bench:
    """One phone that is measured, and many that call it: 100 calls a second by the bench's clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.spent = 0.0  # CPU of the phone that is called
        self.addresses = [Address(b"\xfc" + bytes(13) + bytes([1, n])) for n in range(CALLERS)]
        self.called = self._phone(CALLED, 0)
        self.called.configure("ann", UserSettings(call_waiting=True))
        self.callers = {one: self._phone(one, n) for n, one in enumerate(self.addresses, 1)}
        self.told: list[object] = []

    def _phone(self, address: Address, seed: int) -> Phone:
        everybody = Everybody()
        return Phone(address, 5060, everybody, everybody, random.Random(seed))

    def measured(self, name: str, *arguments: object, **named: object) -> None:
        """Run a method of the phone that is called, and add up its time."""
        began = time.process_time()
        getattr(self.called, name)(*arguments, **named)
        self.spent += time.process_time() - began

    def pump(self, caller: Address) -> None:
        """Carry messages until there are none."""
        while True:
            mine, theirs = self.callers[caller].take_outputs(), self.called.take_outputs()
            self.told += theirs
            sent = [one for one in (*mine, *theirs) if isinstance(one, Send)]
            if not sent:
                return
            for one in sent:
                if one.peer.address == CALLED:
                    self.measured("handle_message", one.data, Peer(caller, 5060), self.now)
                else:
                    self.callers[caller].handle_message(one.data, Peer(CALLED, 5060), self.now)

    def call(self, caller: Address) -> None:
        """One call from its INVITE to its BYE."""
        phone = self.callers[caller]
        mine = phone.dial("ann", uri_at(CALLED, "ann"), SEAT, self.now)
        self.pump(caller)
        ringing = next(one for one in reversed(self.told) if isinstance(one, Ringing))
        self.measured("answer", ringing.call, "ann", SEAT, self.now)
        self.pump(caller)
        phone.hang_up(mine, self.now)
        self.pump(caller)
        self._pass(0.01)

    def text(self, caller: Address, number: int) -> None:
        """One text, stored at once."""
        phone = self.callers[caller]
        to = uri_at(CALLED, "ann")
        phone.send_text("ann", to, "hello " * 20, self.now, message_id=f"message-{number}")
        self.pump(caller)
        arrived = next(one for one in reversed(self.told) if isinstance(one, TextArrived))
        self.measured("confirm_text", arrived.text_id, self.now, is_stored=True)
        self.pump(caller)
        self._pass(0.01)

    def _pass(self, seconds: float) -> None:
        self.now += seconds
        due = self.called.next_timeout()
        if due is not None and due[0] <= self.now:
            self.measured("handle_timeout", self.now)
        for phone in self.callers.values():
            due = phone.next_timeout()
            if due is not None and due[0] <= self.now:
                phone.handle_timeout(self.now)


def main(arguments: Sequence[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.calls", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "calls", type=_positive, nargs="?", default=CALLS, help=f"calls, and texts ({CALLS})"
    )
    count: int = parser.parse_args(arguments).calls
    bench = Bench()
    for number in range(count):
        bench.call(bench.addresses[number % CALLERS])
    ended = sum(isinstance(one, Ended) for one in bench.told)
    assert ended == count, (ended, bench.called.counters.snapshot())
    each = bench.spent / count
    print(f"{count} calls set up and ended:  {each * 1e6:.0f} µs each, {1 / each:.0f} a second")
    bench.spent, bench.told = 0.0, []
    for number in range(count):
        bench.text(bench.addresses[number % CALLERS], number)
    print(f"{count} texts received:          {bench.spent / count * 1e6:.0f} µs each")
    data = next(one.data for one in bench.told if isinstance(one, Send))
    began = time.process_time()
    for _ in range(count):
        encode(decode(data))
    print(f"an answer read and written: {(time.process_time() - began) / count * 1e6:.0f} µs")
    return 0


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
