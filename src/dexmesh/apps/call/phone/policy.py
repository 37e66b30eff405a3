"""Decide whose call rings where, and how much one node may ask of us.

Place     incoming.py, core.py -> here -> an answer
Spec      docs/apps/sip.md §3 rule 5; RFC 3261 §21.4.18 (480), §21.4.24 (486), §21.5.4 (503)
Keeps     counts of at most MAX_NODES nodes; asks the address book and keeps none of its answers
Not here  who the caller is (identity.py), how long it rings (call.py)
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable

from dexmesh.apps.call.phone.counters import Count
from dexmesh.apps.call.phone.identity import Caller
from dexmesh.apps.call.phone.people import Directory
from dexmesh.apps.call.phone.values import MissedReason, UserSettings
from dexmesh.values import dataclass
from dexmesh.wire.address import Address

REQUESTS_PER_S = 10.0  # docs/apps/sip.md §3 rule 5; of one node, outside calls
REPLIES_PER_S = 200.0  # ours: answers and ACKs of one node that we wait for something from
IN_CALL_PER_S = 50.0  # ours: of one node, inside calls it has with us
STRANGERS_PER_S = 50.0  # ours: of all strangers together; addresses are cheap
MAX_EARLY_OF_ONE = 3  # docs/apps/sip.md §3 rule 5: calls of one node that ring
MAX_EARLY = 30  # docs/apps/sip.md §3 rule 5: of all nodes
MAX_EARLY_OF_STRANGERS = 15  # ours: of these, where a user wants strangers to ring
MAX_MISSED_OF_ONE = 10  # ours: entries of one stranger in the history in QUOTA_S
MAX_TEXTS_OF_ONE = 20  # ours: texts of one stranger in QUOTA_S
MAX_STRANGERS = 100  # ours: in QUOTA_S; as in mail, their number is what counts
QUOTA_S = 3600.0  # ours
MAX_NODES = 1024  # ours: the one that was silent longest is forgotten


@dataclass(frozen=True, slots=True)
class Ring:
    """The call rings for these users. `answers_itself`: the first of them wants that."""

    users: tuple[str, ...]
    is_waiting: bool
    answers_itself: bool


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """The call does not ring: what the caller hears, and what the users read afterwards."""

    status: int
    reason: MissedReason
    users: tuple[str, ...]


def find_called(name: str, directory: Directory) -> tuple[str, ...]:
    """The users behind the user part of a URI (any case); the first for an empty one; () if none.

    An alias wins over a user of the same name, as in mail.
    """
    users = directory.users()
    wanted = name.lower()
    if not wanted:
        return users[:1]
    found = directory.users_of(wanted)
    return found or tuple(user for user in users if user.lower() == wanted)[:1]


def judge_call(
    called: tuple[str, ...],
    caller: Caller,
    settings_of: Callable[[str], UserSettings],
    is_busy: Callable[[str], bool],
) -> Ring | TurnedAway:
    """Who of the called users hears the bell: contacts only, unless a user wants strangers too."""
    settings = {user: settings_of(user) for user in called}
    willing = [user for user in called if caller.is_contact or settings[user].strangers_ring]
    if not willing:
        return TurnedAway(480, MissedReason.STRANGER, called)
    awake = [user for user in willing if not settings[user].do_not_disturb]
    if not awake:
        return TurnedAway(480, MissedReason.DO_NOT_DISTURB, tuple(willing))
    busy = {user for user in awake if is_busy(user)}
    ringing = tuple(user for user in awake if user not in busy or settings[user].call_waiting)
    if not ringing:
        return TurnedAway(486, MissedReason.BUSY, tuple(awake))
    first = ringing[0]
    itself = settings[first].auto_answer and first not in busy and caller.is_contact
    return Ring(ringing, is_waiting=first in busy, answers_itself=itself)


def has_room(early: Iterable[Caller], caller: Caller) -> bool:
    """Whether one more call of this node may begin while these nodes' calls are ringing."""
    all_of_them = list(early)
    of_one = sum(one.address == caller.address for one in all_of_them)
    if len(all_of_them) >= MAX_EARLY or of_one >= MAX_EARLY_OF_ONE:
        return False
    strangers = sum(not one.is_contact for one in all_of_them)
    return caller.is_contact or strangers < MAX_EARLY_OF_STRANGERS


class Bucket:
    """Up to `rate` things at once, and `rate` a second in the long run."""

    __slots__ = ("_at", "_left", "_rate")

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        self._left = rate
        self._at = now

    def wait(self, now: float) -> float:
        """Seconds until one more is allowed; 0 if now."""
        self._left = min(self._rate, self._left + max(0.0, now - self._at) * self._rate)
        self._at = max(self._at, now)
        return 0.0 if self._left >= 1.0 else (1.0 - self._left) / self._rate

    def take(self) -> None:
        """Use up one; after `wait` said 0."""
        self._left -= 1.0


@dataclass(frozen=True, slots=True)
class TooMuch:
    """A request goes no further. `retry_after_s`: what to tell; None where even that is too much."""

    why: Count
    retry_after_s: int | None


class _Node:
    """What one node may do: ask us outside calls and in calls, reply, be told that it is too much."""

    __slots__ = ("in_calls", "outside", "refusals", "replies")

    def __init__(self, now: float) -> None:
        self.outside = Bucket(REQUESTS_PER_S, now)
        self.in_calls = Bucket(IN_CALL_PER_S, now)
        self.refusals = Bucket(REQUESTS_PER_S, now)
        self.replies = Bucket(REPLIES_PER_S, now)


class Rates:
    """How many requests each node sent lately. Never reads a clock."""

    def __init__(self) -> None:
        self._nodes: OrderedDict[Address, _Node] = OrderedDict()
        self._strangers: Bucket | None = None

    def judge(
        self, address: Address, now: float, *, is_contact: bool, is_in_call: bool
    ) -> TooMuch | None:
        """Count a request; or say what is to be done instead of answering it."""
        node = self._node(address, now)
        bucket = node.in_calls if is_in_call else node.outside
        late = self._take_both(bucket, now, is_contact=is_contact or is_in_call)
        if late is None:
            return None
        why, wait = late
        return TooMuch(why, max(1, math.ceil(wait)) if _take(node.refusals, now) else None)

    def judge_reply(self, address: Address, now: float, *, is_contact: bool) -> TooMuch | None:
        """Count an answer or an ACK. Nobody is told that it was one too many: it has no answer."""
        late = self._take_both(self._node(address, now).replies, now, is_contact=is_contact)
        return None if late is None else TooMuch(late[0], None)

    def _take_both(
        self, bucket: Bucket, now: float, *, is_contact: bool
    ) -> tuple[Count, float] | None:
        """Use up one of the node's and of the strangers'; else why not, and for how many seconds."""
        waits = [(bucket, Count.TOO_FAST)]
        if not is_contact:
            self._strangers = self._strangers or Bucket(STRANGERS_PER_S, now)
            waits.append((self._strangers, Count.STRANGERS_TOO_FAST))
        for one, why in waits:
            if (wait := one.wait(now)) > 0:
                return why, wait
        for one, _why in waits:
            one.take()
        return None

    def __len__(self) -> int:
        return len(self._nodes)

    def _node(self, address: Address, now: float) -> _Node:
        node = self._nodes.get(address)
        if node is None:
            node = self._nodes[address] = _Node(now)
            if len(self._nodes) > MAX_NODES:
                self._nodes.popitem(last=False)
        self._nodes.move_to_end(address)
        return node


def _take(bucket: Bucket, now: float) -> bool:
    if bucket.wait(now) > 0:
        return False
    bucket.take()
    return True


class StrangersQuota:
    """How much of strangers is kept in an hour: so many of each, of so many of them."""

    def __init__(self, most_of_one: int) -> None:
        self._most = most_of_one
        self._ends_at = 0.0
        self._counts: Counter[Address] = Counter()

    def take(self, address: Address, now: float) -> int | None:
        """Count one more; or in how many seconds to come again."""
        if now >= self._ends_at:
            self._counts.clear()
            self._ends_at = now + QUOTA_S
        is_full = address not in self._counts and len(self._counts) >= MAX_STRANGERS
        if is_full or self._counts[address] >= self._most:
            return max(1, math.ceil(self._ends_at - now))
        self._counts[address] += 1
        return None
