"""List the states of a call and what leads from one to the next.

Place     call.py, outgoing.py, incoming.py ask here before they act
Spec      RFC 3261 §9 (CANCEL), §13 (INVITE), §15 (BYE)
Keeps     what is not in the table does not happen: the event is ignored, or the person is told
Not here  changes of the media during a call (changes.py)
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final


class State(Enum):
    """Where a call is. The values are for people."""

    CALLING = "calling"  # our INVITE is on its way, or it rings there
    CANCELLING = "giving up"  # ours, over for the person; the last answer is still to come
    RINGING = "ringing"  # theirs; nobody answered here
    ANSWERED = "answered"  # theirs; our 200 is out, its ACK did not come yet
    LEAVING = "hanging up"  # theirs, over for the person; BYE has to wait for the ACK
    UP = "in a call"
    ENDED = "over"


class Event(Enum):
    """What can happen to a call."""

    ACCEPTED = "the other side answered"
    REFUSED = "the other side refused"
    FAILED = "no answer, or no ACK, came in time"
    WITHDRAWN = "the caller cancelled"
    ACKED = "the other side saw our answer"
    BYE = "the other side hung up"
    ANSWER = "somebody here answers"
    LEAVE = "somebody here hangs up or declines"
    TOO_LONG = "it rang too long"
    LOST = "the other side is gone"


TABLE: Final[Mapping[State, Mapping[Event, State]]] = {
    State.CALLING: {
        Event.ACCEPTED: State.UP,
        Event.REFUSED: State.ENDED,
        Event.FAILED: State.ENDED,
        Event.LEAVE: State.CANCELLING,
        Event.TOO_LONG: State.CANCELLING,
        Event.BYE: State.CANCELLING,  # forbidden to them (§15), so it has a final answer to come
    },
    State.CANCELLING: {
        Event.ACCEPTED: State.ENDED,  # it crossed our CANCEL: ACK, BYE
        Event.REFUSED: State.ENDED,
        Event.FAILED: State.ENDED,
        Event.TOO_LONG: State.ENDED,
    },
    State.RINGING: {
        Event.ANSWER: State.ANSWERED,
        Event.LEAVE: State.ENDED,
        Event.WITHDRAWN: State.ENDED,
        Event.BYE: State.ENDED,
        Event.TOO_LONG: State.ENDED,
        Event.FAILED: State.ENDED,
    },
    State.ANSWERED: {
        Event.ACKED: State.UP,
        Event.LEAVE: State.LEAVING,
        Event.BYE: State.ENDED,
        Event.FAILED: State.ENDED,
        Event.LOST: State.LEAVING,
    },
    State.LEAVING: {
        Event.ACKED: State.ENDED,
        Event.BYE: State.ENDED,
        Event.FAILED: State.ENDED,
        Event.TOO_LONG: State.ENDED,
    },
    State.UP: {
        Event.LEAVE: State.ENDED,
        Event.BYE: State.ENDED,
        Event.LOST: State.ENDED,
    },
    State.ENDED: {},
}
