"""Decide which node is called next and what the answers of its mail server mean.

Place     delivery.py (Calls), outgoing.py (judge, obstacle) -> here
Spec      docs/apps/mail.md §4 Queue; RFC 5321 §4.2, RFC 1870, RFC 6152, RFC 6531, RFC 3463
Keeps     one call per node and MAX_CALLS in all; nodes that gave a sign of life go first and always
          find room, nodes that were silent before never take all of it
Not here  when a node is due by the clock (schedule.py and the tables of queue/)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import Enum

from dexmesh.apps.mail.proto.schedule import AFTER_SIGN_S
from dexmesh.values import dataclass
from dexmesh.wire.address import Address

MAX_CALLS = 20  # ours
MAX_ORDINARY = 16  # ours: the rest is kept for signs of life
MAX_SILENT = 12  # ours: calls to nodes that did not answer last time
MAX_SIGNS = 4096  # ours: the oldest is forgotten
RENEW_AFTER_S = 1.0  # ours: a call that is this old has sent packets into the void

_ENHANCED = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?:[ \t]+|$)")
_MAX_TEXT = 500


class Verdict(Enum):
    """What becomes of a recipient after a try."""

    DELIVERED = "delivered"
    RETRY = "retry"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a try. `code` is 0 where no server spoke."""

    verdict: Verdict
    code: int
    enhanced: str
    text: str

    @property
    def as_text(self) -> str:
        """`550 5.1.1 no such user`."""
        parts = (str(self.code) if self.code else "", self.enhanced, self.text)
        return " ".join(part for part in parts if part)


TEXT_GONE = Outcome(Verdict.FAILED, 0, "5.3.0", "its text is gone from the disk of this machine")


def judge(code: int, text: str) -> Outcome:
    """What a reply means for the recipients it is about: 2xx, 5xx, and all else is tried again."""
    flat = _readable(text)
    match = _ENHANCED.match(flat)
    enhanced = match[1] if match else ""
    rest = flat[match.end() :] if match else flat
    if 200 <= code < 300:
        verdict = Verdict.DELIVERED
    else:
        verdict = Verdict.FAILED if 500 <= code < 600 else Verdict.RETRY
    return Outcome(verdict, code, enhanced, rest)


def unreachable(text: str) -> Outcome:
    """The connection could not be made or broke."""
    return Outcome(Verdict.RETRY, 0, "4.4.1", _readable(text))


def _readable(text: str) -> str:
    """One line that can be kept, shown and quoted, whatever a server says and in which encoding."""
    flat = " ".join(text.split())[:_MAX_TEXT]
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in flat)


@dataclass(frozen=True, slots=True)
class Needs:
    """What a message asks of a server."""

    size: int
    is_8bit: bool = False
    is_utf8: bool = False


def obstacle(
    needs: Needs, extensions: Mapping[str, str], *, has_utf8_address: bool = False
) -> Outcome | None:
    """Why this server (EHLO keywords in lower case) can never take the message; None if it can.

    A header that is not ASCII is no reason where the addresses are: bsd-mailx and cron write such subjects,
    and servers that take 8 bits have always passed them on.
    """
    if has_utf8_address and "smtputf8" not in extensions:
        text = "the address needs SMTPUTF8, which the mail server there cannot do"
        return Outcome(Verdict.FAILED, 0, "5.6.7", text)
    if needs.is_8bit and "8bitmime" not in extensions:
        text = "the text needs 8BITMIME, which the mail server there cannot do"
        return Outcome(Verdict.FAILED, 0, "5.6.3", text)
    limit = extensions.get("size", "").strip()
    if limit.isascii() and limit.isdigit() and 0 < int(limit[:18]) < needs.size:
        text = f"the mail has {needs.size} bytes, the mail server there takes {int(limit[:18])}"
        return Outcome(Verdict.FAILED, 0, "5.3.4", text)
    return None


@dataclass(frozen=True, slots=True)
class Due:
    """A node with mail that is due; `tries` calls in a row have failed."""

    address: Address
    tries: int


@dataclass(slots=True)
class _Sign:
    """A node that showed itself: calls follow quickly until one succeeds."""

    next_at: float
    step: int = 0


@dataclass(slots=True)
class _Call:
    began_at: float
    is_silent: bool
    is_sign: bool
    is_taken: bool = False


class Calls:
    """One per delivery. Performs no I/O and never reads a clock; `now` is monotonic seconds."""

    def __init__(self) -> None:
        self._active: dict[Address, _Call] = {}
        self._signs: dict[Address, _Sign] = {}

    @property
    def active(self) -> frozenset[Address]:
        """The nodes that are being called."""
        return frozenset(self._active)

    @property
    def signs(self) -> frozenset[Address]:
        """The nodes that showed themselves and were not reached yet."""
        return frozenset(self._signs)

    def handle_sign(self, address: Address, now: float) -> bool:
        """The node lives: it goes first. Whether its present call, begun into the void, should be
        given up for a new one.
        """
        self._signs.pop(address, None)
        self._signs[address] = _Sign(now)
        if len(self._signs) > MAX_SIGNS:
            del self._signs[next(iter(self._signs))]
        call = self._active.get(address)
        return call is not None and not call.is_taken and now - call.began_at >= RENEW_AFTER_S

    def handle_taken(self, address: Address) -> None:
        """The node took the call: its server is waited for, however long that takes to greet."""
        call = self._active.get(address)
        if call is not None:
            call.is_taken = True

    def handle_greeted(self, address: Address) -> None:
        """The server there has greeted: the node is reached."""
        self._signs.pop(address, None)

    def handle_end(self, address: Address, now: float) -> None:
        """A call is over. After a sign of life the next follows soon."""
        self._active.pop(address, None)
        sign = self._signs.get(address)
        if sign is None or sign.next_at > now:
            return
        if sign.step >= len(AFTER_SIGN_S):
            del self._signs[address]
            return
        sign.next_at = now + AFTER_SIGN_S[sign.step]
        sign.step += 1

    def handle_renewed(self, address: Address) -> None:
        """A call was given up for a new one."""
        self._active.pop(address, None)

    def forget(self, address: Address) -> None:
        """No mail waits for this node."""
        self._signs.pop(address, None)

    def take_calls(self, due: Iterable[Due], now: float) -> list[Address]:
        """The nodes to call now: first those that showed themselves, then those that never failed,
        then by the number of failures. They count as active from here on.
        """
        chosen = [address for address, sign in self._signs.items() if sign.next_at <= now]
        taken = [address for address in chosen if self._begin(address, now, False, True)]
        for one in sorted(due, key=lambda one: one.tries):
            if one.address not in self._signs and self._begin(
                one.address, now, one.tries > 0, False
            ):
                taken.append(one.address)
        return taken

    def next_timeout(self) -> tuple[float, str] | None:
        """When a node that showed itself wants to be called again."""
        waiting = [sign.next_at for who, sign in self._signs.items() if who not in self._active]
        return (min(waiting), "after a sign of life") if waiting else None

    def _begin(self, address: Address, now: float, is_silent: bool, is_sign: bool) -> bool:
        if address in self._active or not self._has_room(is_silent, is_sign):
            return False
        self._active[address] = _Call(now, is_silent, is_sign)
        return True

    def _has_room(self, is_silent: bool, is_sign: bool) -> bool:
        if is_sign:
            return len(self._active) < MAX_CALLS
        ordinary = [call for call in self._active.values() if not call.is_sign]
        silent = sum(call.is_silent for call in ordinary)
        return len(ordinary) < MAX_ORDINARY and (not is_silent or silent < MAX_SILENT)
