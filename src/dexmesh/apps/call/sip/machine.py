"""The states and timers of a transaction, as tables.

Place     transaction.py looks up what to do; schedule.py runs the timers
Spec      RFC 3261 §17.1.1.2, §17.1.2.2, §17.2.1, §17.2.2, table 4 (timers), §9.1 (CANCEL), §13.3.1.4
          (a 2xx is repeated until its ACK); RFC 6026 §8.4-8.8 (Accepted)
Keeps     no state is without a timer that leads out of it; an event that a state has no line for
          changes nothing
Not here  how an action is done (transaction.py)
"""

from __future__ import annotations

from enum import Enum
from math import inf
from typing import Final, TypeAlias

from dexmesh.values import dataclass

T1_S: Final = 0.5  # RFC 3261 §17.1.1.1: the round trip we hope for
T2_S: Final = 4.0  # RFC 3261 §17.1.2.2: the longest pause between repetitions
T4_S: Final = 5.0  # RFC 3261 §17.1.2.2: how long a message may stay in the network
LAST_S: Final = 64 * T1_S
TRYING_S: Final = 0.2  # RFC 3261 §17.2.1: the phone has so long before a 100 is sent for it
RINGING_S: Final = 180.0  # RFC 3261 §16.6: timer C, which only proxies have to have
UNANSWERED_S: Final = 300.0  # ours: our own phone never answered an INVITE


class Kind(Enum):
    """Whose request, and whether an ACK belongs to it."""

    INVITE_CLIENT = "INVITE of ours"
    CLIENT = "request of ours"
    INVITE_SERVER = "INVITE to us"
    SERVER = "request to us"


class State(Enum):
    """RFC 3261's names; those of ours are explained."""

    CALLING = "calling"
    REGRETTING = "regretting"  # ours: calling, but to be cancelled as soon as something is heard
    TRYING = "trying"  # also of an INVITE to us that we have sent nothing for
    PROCEEDING = "proceeding"
    CANCELLING = "cancelling"  # ours: proceeding, and a CANCEL was sent or came
    COMPLETED = "completed"
    CONFIRMED = "confirmed"
    ACCEPTED = "accepted"  # RFC 6026
    ACKED = "acked"  # ours: accepted, and the ACK for our 2xx came
    TERMINATED = "terminated"


class Event(Enum):
    """What can happen to a transaction."""

    GOT_PROVISIONAL = "1xx came"
    GOT_SUCCESS = "2xx came"
    GOT_REFUSAL = "3xx-6xx came"
    GOT_REQUEST = "the request came again"
    GOT_ACK = "ACK came"
    GOT_CANCEL = "CANCEL came"
    PROVISIONAL = "the phone sends 1xx"
    SUCCESS = "the phone sends 2xx"
    REFUSAL = "the phone sends 3xx-6xx"
    CANCEL = "the phone takes its INVITE back"
    HURRY = "the phone has not answered yet"
    REPEAT = "time to repeat"
    GIVE_UP = "waited long enough"
    FORGET = "nothing can come any more"
    BROKEN = "nothing can be sent there"


class Action(Enum):
    """What `Transactions` does on the way to the next state, in order."""

    SEND = "send the request or the last answer (again)"
    SEND_TRYING = "send a 100"
    SEND_ACK = "acknowledge a refusal"
    SEND_ACK_OF_SUCCESS = "send the phone's ACK again, or tell it of one more 2xx"
    SEND_CANCEL = "send the CANCEL"
    TELL = "Answered"
    TELL_ACK = "Acked"
    TELL_CANCEL = "Cancelled"
    FAIL_TIMEOUT = "Failed: timeout"
    FAIL_TRANSPORT = "Failed: transport"
    FAIL_NO_ACK = "Failed: no ACK"


@dataclass(frozen=True, slots=True)
class Timer:
    """Started on entering a state. None: not on that transport. 0: at once.

    `longest_s`: it goes off again and again, after twice as long each time but at most so long.
    Where a timer of the same name runs already it is left as it is, unless it `restarts`.
    """

    name: str
    event: Event
    udp_s: float | None
    tcp_s: float | None
    longest_s: float | None = None
    restarts: bool = False


_A = Timer("A", Event.REPEAT, T1_S, None, longest_s=inf)
_B = Timer("B", Event.GIVE_UP, LAST_S, LAST_S)
_C = Timer("C", Event.GIVE_UP, RINGING_S, RINGING_S, restarts=True)
_CANCELLED = Timer("after CANCEL", Event.GIVE_UP, LAST_S, LAST_S)  # §9.1
_D = Timer("D", Event.FORGET, LAST_S, 0.0)
_E = Timer("E", Event.REPEAT, T1_S, None, longest_s=T2_S)
_E_SLOW = Timer("E, slow", Event.REPEAT, T2_S, None, longest_s=T2_S)
_F = Timer("F", Event.GIVE_UP, LAST_S, LAST_S)
_G = Timer("G", Event.REPEAT, T1_S, None, longest_s=T2_S)
_H = Timer("H", Event.GIVE_UP, LAST_S, LAST_S)
_I = Timer("I", Event.FORGET, T4_S, 0.0)
_J = Timer("J", Event.FORGET, LAST_S, 0.0)
_K = Timer("K", Event.FORGET, T4_S, 0.0)
_L = Timer("L", Event.GIVE_UP, LAST_S, LAST_S)
_M = Timer("M", Event.FORGET, LAST_S, LAST_S)
_AGAIN = Timer("2xx again", Event.REPEAT, T1_S, T1_S, longest_s=T2_S)  # §13.3.1.4
_HURRY = Timer("100", Event.HURRY, TRYING_S, TRYING_S)
_UNANSWERED = Timer("unanswered", Event.GIVE_UP, UNANSWERED_S, UNANSWERED_S)
_UNHEARD = Timer("unanswered", Event.GIVE_UP, LAST_S, LAST_S)

TIMERS: Final[dict[Kind, dict[State, tuple[Timer, ...]]]] = {
    Kind.INVITE_CLIENT: {
        State.CALLING: (_A, _B),
        State.REGRETTING: (_A, _B),
        State.PROCEEDING: (_C,),
        State.CANCELLING: (_CANCELLED,),
        State.COMPLETED: (_D,),
        State.ACCEPTED: (_M,),
    },
    Kind.CLIENT: {
        State.TRYING: (_E, _F),
        State.PROCEEDING: (_E_SLOW, _F),
        State.COMPLETED: (_K,),
    },
    Kind.INVITE_SERVER: {
        State.TRYING: (_HURRY, _UNANSWERED),
        State.PROCEEDING: (_UNANSWERED,),
        State.CANCELLING: (_UNANSWERED,),
        State.COMPLETED: (_G, _H),
        State.CONFIRMED: (_I,),
        State.ACCEPTED: (_AGAIN, _L),
        State.ACKED: (_L,),
    },
    Kind.SERVER: {
        State.TRYING: (_UNHEARD,),
        State.PROCEEDING: (_UNHEARD,),
        State.COMPLETED: (_J,),
    },
}

Step: TypeAlias = tuple[State, tuple[Action, ...]]
Steps: TypeAlias = dict[State, dict[Event, Step]]

_END: Final[Step] = (State.TERMINATED, ())
_TIMEOUT: Final[Step] = (State.TERMINATED, (Action.FAIL_TIMEOUT,))
_NO_TRANSPORT: Final[Step] = (State.TERMINATED, (Action.FAIL_TRANSPORT,))
_NO_ACK: Final[Step] = (State.TERMINATED, (Action.FAIL_NO_ACK,))

_INVITE_ANSWERS: Final[dict[Event, Step]] = {
    Event.GOT_SUCCESS: (State.ACCEPTED, (Action.TELL,)),
    Event.GOT_REFUSAL: (State.COMPLETED, (Action.SEND_ACK, Action.TELL)),
    Event.GIVE_UP: _TIMEOUT,
}
_INVITE_CLIENT: Final[Steps] = {
    State.CALLING: {
        **_INVITE_ANSWERS,
        Event.GOT_PROVISIONAL: (State.PROCEEDING, (Action.TELL,)),
        Event.CANCEL: (State.REGRETTING, ()),
        Event.REPEAT: (State.CALLING, (Action.SEND,)),
        Event.BROKEN: _NO_TRANSPORT,
    },
    State.REGRETTING: {
        **_INVITE_ANSWERS,
        Event.GOT_PROVISIONAL: (State.CANCELLING, (Action.TELL, Action.SEND_CANCEL)),
        Event.REPEAT: (State.REGRETTING, (Action.SEND,)),
        Event.BROKEN: _NO_TRANSPORT,
    },
    State.PROCEEDING: {
        **_INVITE_ANSWERS,
        Event.GOT_PROVISIONAL: (State.PROCEEDING, (Action.TELL,)),
        Event.CANCEL: (State.CANCELLING, (Action.SEND_CANCEL,)),
    },
    State.CANCELLING: {
        **_INVITE_ANSWERS,
        Event.GOT_PROVISIONAL: (State.CANCELLING, (Action.TELL,)),
    },
    State.COMPLETED: {
        Event.GOT_REFUSAL: (State.COMPLETED, (Action.SEND_ACK,)),
        Event.FORGET: _END,
    },
    State.ACCEPTED: {
        Event.GOT_SUCCESS: (State.ACCEPTED, (Action.SEND_ACK_OF_SUCCESS,)),
        Event.FORGET: _END,
    },
}
_ANSWERS: Final[dict[Event, Step]] = {
    Event.GOT_PROVISIONAL: (State.PROCEEDING, (Action.TELL,)),
    Event.GOT_SUCCESS: (State.COMPLETED, (Action.TELL,)),
    Event.GOT_REFUSAL: (State.COMPLETED, (Action.TELL,)),
    Event.GIVE_UP: _TIMEOUT,
}
_CLIENT: Final[Steps] = {
    State.TRYING: {
        **_ANSWERS,
        Event.REPEAT: (State.TRYING, (Action.SEND,)),
        Event.BROKEN: _NO_TRANSPORT,
    },
    State.PROCEEDING: {
        **_ANSWERS,
        Event.REPEAT: (State.PROCEEDING, (Action.SEND,)),
    },
    State.COMPLETED: {Event.FORGET: _END},
}
_INVITE_REPLIES: Final[dict[Event, Step]] = {
    Event.SUCCESS: (State.ACCEPTED, (Action.SEND,)),
    Event.REFUSAL: (State.COMPLETED, (Action.SEND,)),
    Event.GIVE_UP: _TIMEOUT,
}
_INVITE_SERVER: Final[Steps] = {
    State.TRYING: {
        **_INVITE_REPLIES,
        Event.GOT_REQUEST: (State.PROCEEDING, (Action.SEND_TRYING,)),
        Event.HURRY: (State.PROCEEDING, (Action.SEND_TRYING,)),
        Event.PROVISIONAL: (State.PROCEEDING, (Action.SEND,)),
        Event.GOT_CANCEL: (State.CANCELLING, (Action.TELL_CANCEL,)),
    },
    State.PROCEEDING: {
        **_INVITE_REPLIES,
        Event.GOT_REQUEST: (State.PROCEEDING, (Action.SEND,)),
        Event.PROVISIONAL: (State.PROCEEDING, (Action.SEND,)),
        Event.GOT_CANCEL: (State.CANCELLING, (Action.TELL_CANCEL,)),
    },
    State.CANCELLING: {
        **_INVITE_REPLIES,
        Event.GOT_REQUEST: (State.CANCELLING, (Action.SEND,)),
    },
    State.COMPLETED: {
        Event.GOT_REQUEST: (State.COMPLETED, (Action.SEND,)),
        Event.REPEAT: (State.COMPLETED, (Action.SEND,)),
        Event.GOT_ACK: (State.CONFIRMED, ()),
        Event.GIVE_UP: _NO_ACK,
    },
    State.CONFIRMED: {Event.FORGET: _END},
    State.ACCEPTED: {
        Event.REPEAT: (State.ACCEPTED, (Action.SEND,)),
        Event.GOT_ACK: (State.ACKED, (Action.TELL_ACK,)),
        Event.GIVE_UP: _NO_ACK,
    },
    State.ACKED: {Event.GIVE_UP: _END},
}
_REPLIES: Final[dict[Event, Step]] = {
    Event.PROVISIONAL: (State.PROCEEDING, (Action.SEND,)),
    Event.SUCCESS: (State.COMPLETED, (Action.SEND,)),
    Event.REFUSAL: (State.COMPLETED, (Action.SEND,)),
    Event.GIVE_UP: _END,
}
_SERVER: Final[Steps] = {
    State.TRYING: _REPLIES,
    State.PROCEEDING: {**_REPLIES, Event.GOT_REQUEST: (State.PROCEEDING, (Action.SEND,))},
    State.COMPLETED: {
        Event.GOT_REQUEST: (State.COMPLETED, (Action.SEND,)),
        Event.FORGET: _END,
    },
}

STEPS: Final[dict[Kind, Steps]] = {
    Kind.INVITE_CLIENT: _INVITE_CLIENT,
    Kind.CLIENT: _CLIENT,
    Kind.INVITE_SERVER: _INVITE_SERVER,
    Kind.SERVER: _SERVER,
}
FIRST: Final[dict[Kind, State]] = {
    Kind.INVITE_CLIENT: State.CALLING,
    Kind.CLIENT: State.TRYING,
    Kind.INVITE_SERVER: State.TRYING,
    Kind.SERVER: State.TRYING,
}


def step(kind: Kind, state: State, event: Event) -> Step | None:
    """Where an event leads, and what is done on the way; None if it means nothing there."""
    return STEPS[kind].get(state, {}).get(event)


def timers(kind: Kind, state: State) -> tuple[Timer, ...]:
    """The timers that run in a state."""
    return TIMERS[kind].get(state, ())
