"""Say who calls, how a call goes and how it ended, and what to do next.

Place     cli/call*.py, cli/phone_*.py, cli/text.py have facts (apps/call/facts.py) -> here -> sentences
Spec      docs/apps/sip.md §3 rule 2 (never show an identity that was not checked)
Keeps     a name that somebody gave himself stands in quotes behind the address that is certain
Not here  the events themselves (docs/apps/phone-control.md)
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

Facts: TypeAlias = Mapping[str, Any]
"""A JSON object of the control socket."""


def who(facts: Facts) -> str:
    """The other side in a word or two: the petname, else the address and what it calls itself."""
    if facts.get("petname"):
        name = str(facts["petname"])
    else:
        claimed = facts.get("claimed_name") or facts.get("claimed_user") or facts.get("user") or ""
        name = str(facts.get("address", "somebody")) + (f' ("{claimed}")' if claimed else "")
    return f"{name} (?)" if facts.get("is_flagged") else name


def clock(seconds: float) -> str:
    """How long somebody talks: 0:07, 1:02:03."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def describe_call(facts: Facts) -> str:
    """A call under way, in one line."""
    parts = [f"{facts['call']}: {who(facts['peer'])}", str(facts["state"])]
    if facts["talked_s"]:
        parts.append(clock(facts["talked_s"]))
    if facts["codec"]:
        parts.append(str(facts["codec"]))
    parts += [words for key, words in _MARKS.items() if facts.get(key)]
    return ", ".join(parts)


_MARKS: Final = {
    "held_here": "on hold",
    "held_there": "held by the other side",
    "is_voicemail": "with your voicemail",
}


# --- The end of a call


def describe_end(facts: Facts, name: str) -> str:
    """Why a call is over, for whoever was in it. `facts`: an event `ended`."""
    reason, by, talked_s = str(facts["reason"]), facts.get("by"), float(facts["talked_s"])
    after = f" after {clock(talked_s)}" if talked_s else ""
    if reason in _LOST:
        return f"the call with {name} is over{after}: {_LOST[reason]}"
    if reason in {"hung up", "cancelled"}:
        does = "hung up" if talked_s else "gave up"
        return f"{'you' if by == 'us' else name} {does}{after}"
    if by == "us" and reason == "declined":
        return f"you declined the call of {name}"
    words = _REFUSED.get(reason, "{name} cannot be called: " + reason)
    status = f" (SIP {facts['status']})" if reason == "refused" and facts.get("status") else ""
    return words.format(name=name) + status


_LOST: Final = {
    "the service ended": "the service of this machine ended",
    "no sound arrived any more": "nothing was heard for 20 seconds, the way there is broken",
    "the other side knows nothing of the call any more": "the other phone has forgotten it",
    "the other side broke the protocol": "the other phone broke the rules",
}
_REFUSED: Final = {
    "declined": "{name} declined the call",
    "busy": "{name} is in another call",
    "no answer": "{name} did not answer",
    "not available": "{name} is not available: nobody answers there, or is not to be disturbed",
    "no such user": "nobody of that name can be called at that node",
    "not allowed": "the other phone does not let us call {name}",
    "no common codec": "the two phones have no codec in common",
    "too busy, try later": "the other phone has too much to do",
    "not reachable": "{name} cannot be reached: no phone answers at that node",
    "refused": "the other phone refused the call",
}


def next_step(facts: Facts, name: str) -> str:
    """What to do about a call that nobody talked in; empty if nothing comes to mind.

    `name` is what commands take for the other side.
    """
    later = facts.get("retry_after_s")
    if later:
        return f"try again in {later} s"
    return _NEXT.get(str(facts["reason"]), "").format(name=shlex.quote(name))


_TEXT: Final = 'a text gets there: `dexmesh text {name} "words"`'
_NEXT: Final = {
    "declined": _TEXT,
    "busy": f"try again later; {_TEXT}",
    "no answer": f"try again later; {_TEXT}",
    "not available": f"perhaps you are no contact there, strangers do not ring; {_TEXT}",
    "no such user": "is the name before the @ right? `dexmesh contact show {name}` shows it",
    "not allowed": "is your node's address the one in your phone's settings?",
    "no common codec": "`dexmesh phone status` says which codecs are missing here",
    "too busy, try later": f"try again in a minute; {_TEXT}",
    "not reachable": "`dexmesh ping` asks whether the node is there; a text waits until it is: "
    '`dexmesh text {name} "words"`',
}


# --- How it sounds


def describe_sound(statistics: Facts) -> str:
    """The figures of a call in one line; empty if there was no sound."""
    if not statistics.get("codec"):
        return ""
    parts = [str(statistics["codec"])]
    for name, words in _FIGURES.items():
        if isinstance(statistics.get(name), int | float):
            parts.append(words.format(statistics[name]))
    mos = statistics.get("mos")
    return ", ".join(parts) + (f" ({opinion(mos)})" if mos is not None else "")


_FIGURES: Final = {
    "loss_percent": "loss {:.1f} %",
    "jitter_ms": "jitter {:.0f} ms",
    "delay_ms": "delay {:.0f} ms",  # not known in the first seconds
    "mos": "MOS {:.1f}",
}


def opinion(mos: float | None) -> str:
    """How content people are at this MOS, in a word (ITU-T G.107, table B.1)."""
    if mos is None:
        return ""
    return next(word for least, word in _OPINIONS if mos >= least)


_OPINIONS: Final = (
    (4.0, "good"),
    (3.6, "fair"),
    (3.1, "poor"),
    (0.0, "bad"),
)
