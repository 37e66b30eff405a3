"""Name what goes in and out of the phone: calls, media, and everything that it tells the service.

Place     core.py and its parts make the outputs -> `Phone.take_outputs` -> the service acts on them
Spec      docs/apps/sip.md §3; docs/decisions/0013 (seats)
Keeps     plain frozen values
Not here  what goes to the network (`Send`, sip/outputs.py: also among the outputs)
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import NewType, TypeAlias

from dexmesh.apps.call.media.formats import Format
from dexmesh.apps.call.media.plan import MediaPlan
from dexmesh.apps.call.phone.identity import Caller
from dexmesh.apps.call.sip.outputs import Send
from dexmesh.errors import AppError
from dexmesh.values import dataclass
from dexmesh.wire.address import Address

CallId = NewType("CallId", int)
"""A call of this phone; never used twice while it runs."""

TextId = NewType("TextId", int)
"""A text on its way in or out; never used twice while the phone runs."""


class CallError(AppError):
    """A call or a text cannot be made or changed like that; the text says why."""


@dataclass(frozen=True, slots=True)
class UserSettings:
    """What a user of this node wants. `strangers_ring`: not only contacts ring the bell.

    `auto_answer` is for contacts only. `has_voicemail`: a call that does not ring because of
    `do_not_disturb` or another call gives `Unanswered` at once, instead of 480 or 486.
    """

    do_not_disturb: bool = False
    auto_answer: bool = False
    call_waiting: bool = False
    strangers_ring: bool = False
    has_voicemail: bool = False


@dataclass(frozen=True, slots=True)
class SeatMedia:
    """What a seat offers: its RTP port (RTCP is the next one) and the codecs it has, the best first."""

    port: int
    codecs: tuple[Format, ...]


class Side(StrEnum):
    """Who did it."""

    US = "us"
    THEM = "them"
    NOBODY = "nobody"  # time, or the network


class EndReason(StrEnum):
    """Why a call is over."""

    HUNG_UP = "hung up"
    CANCELLED = "cancelled"  # by the caller, before anybody answered
    DECLINED = "declined"
    BUSY = "busy"
    NO_ANSWER = "no answer"
    UNAVAILABLE = "not available"
    NOT_FOUND = "no such user"
    FORBIDDEN = "not allowed"
    NO_COMMON_CODEC = "no common codec"
    OVERLOADED = "too busy, try later"
    UNREACHABLE = "not reachable"
    REFUSED = "refused"  # with another status, which is in `Ended.status`
    MEDIA_DEAD = "no sound arrived any more"
    LOST = "the other side knows nothing of the call any more"
    BROKEN = "the other side broke the protocol"


class MissedReason(StrEnum):
    """Why nobody here answered."""

    NO_ANSWER = "no answer"
    CANCELLED = "the caller gave up"
    STRANGER = "a stranger; it did not ring"
    DO_NOT_DISTURB = "do not disturb"
    BUSY = "busy"
    NO_COMMON_CODEC = "no common codec"


# --- Calls


@dataclass(frozen=True, slots=True)
class Ringing:
    """Somebody calls: ring at the seats of these users; the first to `answer` has the call.

    `is_waiting`: the first of them is in another call. `answers_itself`: answer without ringing.
    """

    call: CallId
    users: tuple[str, ...]
    caller: Caller
    is_waiting: bool = False
    answers_itself: bool = False


AnsweredAt: TypeAlias = tuple[str, SeatMedia]
"""A user of the phone, and the seat at which a program of his answers by itself."""

AnswersAtOnce: TypeAlias = Callable[[Ringing], AnsweredAt | None]
"""Asked before a call rings: it is answered at this seat instead, and nobody is told `Ringing`."""


def nobody(_ringing: Ringing) -> None:
    """No seat stands by."""


@dataclass(frozen=True, slots=True)
class Unanswered:
    """Nobody answered (for 30 s, or nobody may be disturbed): voicemail may `answer` now.

    The call rings on; without an answer it ends with 480 after 60 s, or with `decline`.
    """

    call: CallId
    users: tuple[str, ...]
    caller: Caller
    reason: MissedReason = MissedReason.NO_ANSWER


@dataclass(frozen=True, slots=True)
class Progress:
    """The other side of a call of ours was found (100 to 199). `plan`: it already sends sound."""

    call: CallId
    status: int
    plan: MediaPlan | None = None

    @property
    def is_ringing(self) -> bool:
        """Whether it rings there."""
        return self.status == 180


@dataclass(frozen=True, slots=True)
class Established:
    """Both sides may talk. Seats of other users stop ringing."""

    call: CallId
    user: str
    plan: MediaPlan


@dataclass(frozen=True, slots=True)
class MediaChanged:
    """The seat goes on with this plan. `held_here`, `held_there`: who holds the call."""

    call: CallId
    plan: MediaPlan
    held_here: bool
    held_there: bool


@dataclass(frozen=True, slots=True)
class DigitsArrived:
    """The other side pressed keys, told by SIP INFO (those told by RTP come from the seat)."""

    call: CallId
    digits: str


@dataclass(frozen=True, slots=True)
class SendDigits:
    """The seat shall send these keys as telephone-events."""

    call: CallId
    digits: str


@dataclass(frozen=True, slots=True)
class Ended:
    """A call is over for its seat and its history; no output about it follows, but a `Missed`.

    `status` is the SIP answer that ended it, 0 without one; `talked_s` is 0 if nobody answered.
    """

    call: CallId
    reason: EndReason
    by: Side
    user: str
    peer: Caller
    is_outgoing: bool
    status: int = 0
    talked_s: float = 0.0
    retry_after_s: int | None = None


@dataclass(frozen=True, slots=True)
class Missed:
    """A call that nobody here answered, for the history. `call` is None if it never rang."""

    call: CallId | None
    users: tuple[str, ...]
    caller: Caller
    reason: MissedReason


@dataclass(frozen=True, slots=True)
class CallView:
    """How a call stands, for a person. `state` is a word; `talked_s` counts from the answer.

    `is_machine`: voicemail has it.
    """

    call: CallId
    state: str
    user: str
    peer: Caller
    is_outgoing: bool
    plan: MediaPlan | None
    held_here: bool
    held_there: bool
    talked_s: float
    is_machine: bool = False


# --- Texts


class TextState(StrEnum):
    """What became of a text of ours."""

    DELIVERED = "delivered"
    UNDELIVERED = "not delivered yet"  # it may wait and be tried again
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class TextArrived:
    """A text came in: store it, then `confirm_text` with what became of it.

    Only then the sender hears that it was delivered. `message_id` is the same for the same text
    however often it is sent; together with the caller's address it is unique.
    `is_request`: a stranger's, for *Requests*.
    """

    text_id: TextId
    users: tuple[str, ...]
    caller: Caller
    text: str
    message_id: str
    is_request: bool


@dataclass(frozen=True, slots=True)
class TextDone:
    """The end of a try. `status` is the answer, 0 without one; `reason` is for a person."""

    text_id: TextId
    message_id: str
    state: TextState
    status: int
    reason: str
    retry_after_s: int | None = None


class ReceiptState(StrEnum):
    """What a receipt says of a text."""

    DELIVERED = "delivered"
    DISPLAYED = "displayed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ReceiptArrived:
    """The other side tells what became of a text of ours (RFC 5438)."""

    caller: Caller
    message_id: str
    state: ReceiptState


# --- Presence


@dataclass(frozen=True, slots=True)
class Presence:
    """A contact was asked with OPTIONS. `user`: as he was asked for, empty for whoever is first there.

    `methods`: his Allow, empty where he tells none. `asked_at`: monotonic seconds.
    """

    address: Address
    user: str
    is_there: bool
    methods: frozenset[str] = frozenset()
    asked_at: float = 0.0


Output: TypeAlias = (
    Send
    | Ringing
    | Unanswered
    | Progress
    | Established
    | MediaChanged
    | DigitsArrived
    | SendDigits
    | Ended
    | Missed
    | TextArrived
    | TextDone
    | ReceiptArrived
    | Presence
)
