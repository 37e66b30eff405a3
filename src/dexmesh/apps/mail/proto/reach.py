"""Say whether mail can go both ways between two nodes, and decide who is called back.

Place     apps/mail/reach.py asks and is told here what it means; apps/mail/callback.py asks whether
          a call back is allowed
Spec      shared issue "Reply-ability"; RFC 5321 §4.2 (replies), §4.1.1.1 (EHLO keywords)
Keeps     a node is called back only at the address it called from, at a bounded rate; an estimate is
          never said as a fact
Not here  sockets (reach.py, callback.py)
"""

from __future__ import annotations

import enum
from collections import OrderedDict

from dexmesh.values import dataclass
from dexmesh.wire.address import Address

CALLBACK_KEYWORD = "XDEXMESHCALLBACK"  # ours: in the answer to EHLO, and the verb itself
SAME_ADDRESS_S = 20.0  # ours: between two calls back to one node
MAX_AT_ONCE = 8  # ours
MAX_A_MINUTE = 60  # ours
MAX_REMEMBERED = 1024  # ours: more nodes in SAME_ADDRESS_S are told to come back
AGAIN_S = 1800.0  # ours: how old a report may be that is told to somebody who waits

_RESULT = "callback="


class Port(enum.Enum):
    """What somebody found who called a port 25. The value is its word on the wire."""

    ANSWERS = "answers"
    REFUSED = "refused"  # the machine is there, nobody listens
    SILENT = "silent"  # nothing came back: the node is off, or a firewall drops the call
    UNREACHABLE = "unreachable"  # the own node knows no way
    NO_GREETING = "no-greeting"  # somebody listens and says nothing
    TURNS_AWAY = "turns-away"  # a mail server that does not want to talk now
    NOT_SMTP = "not-smtp"


class Ours(enum.Enum):
    """What is known about the way back, best knowledge first."""

    PROVEN = "proven"  # the other node called us and got an answer, just now
    HEARD = "heard"  # it called our port 25 lately
    BLOCKED = "blocked"  # the other node called us and got none
    DEAF = "deaf"  # nobody listens on our port 25
    UNPROVEN = "unproven"  # somebody listens; whether the other node gets through is not known


@dataclass(frozen=True, slots=True)
class ReachReport:
    """Whether mail can go to a node and come back. Times are seconds; `unix_time` is when it was so."""

    address: Address
    theirs: Port
    ours: Ours
    program: str = (
        ""  # of the other mail server: "dexmesh", "OpenSMTPD", ...; empty if it did not say
    )
    greeting_s: float = 0.0
    called_back: Port | None = None
    heard_ago_s: float | None = None
    has_own_address: bool = True  # False: our own node is not up, nothing could be tried
    unix_time: float = 0.0

    @property
    def is_good(self) -> bool:
        """Whether nothing has to be done, as far as anybody can know."""
        return self.theirs is Port.ANSWERS and self.ours in (Ours.PROVEN, Ours.HEARD)

    @property
    def is_one_way(self) -> bool:
        """Whether it is known that no answer gets here."""
        return self.ours in (Ours.BLOCKED, Ours.DEAF)

    @property
    def is_wrong(self) -> bool:
        """Whether something is known not to work."""
        return self.theirs not in (Port.ANSWERS, Port.TURNS_AWAY) or self.is_one_way


def is_outdated(report: ReachReport | None, unix_time: float, *, is_delivered: bool) -> bool:
    """Whether to look once more: nobody did yet, long ago, or a mail that got there says otherwise."""
    if report is None:
        return True
    if is_delivered:
        return report.theirs is not Port.ANSWERS
    return not 0 <= unix_time - report.unix_time < AGAIN_S


def say(report: ReachReport, name: str) -> tuple[str, ...]:
    """The report in words: about the way there, about the way back, and what to do."""
    if not report.has_own_address:
        return ("This node's mesh address is not up, so nothing could be tried: `dexmesh up`.",)
    return _say_theirs(report, name), _say_ours(report, name)


def _say_theirs(report: ReachReport, name: str) -> str:
    who = f" ({report.program})" if report.program else ""
    slow = ""
    if report.greeting_s >= 5.0:
        slow = (
            f" It took {report.greeting_s:.0f} s to greet: its name server does not answer"
            " (`dexmesh doctor` over there tells)."
        )
    return {
        Port.ANSWERS: f"{name}'s mail server answers{who}: mail gets there.{slow}",
        Port.REFUSED: f"{name}'s node is up, but no mail server listens on its port 25. Mail waits "
        "here until one does; over there `dexmesh mail on` starts one.",
        Port.SILENT: f"{name}'s node does not answer: it is off, or a firewall over there drops calls "
        "to port 25. Mail waits here, and goes out within seconds of a sign of life.",
        Port.UNREACHABLE: f"This node knows no way to {name}'s node now. Mail waits here, and goes "
        "out within seconds of a sign of life.",
        Port.NO_GREETING: f"Something listens on port 25 of {name}'s node but does not greet. Its "
        "name server may not answer (`dexmesh doctor` over there tells). Mail waits and is tried again.",
        Port.TURNS_AWAY: f"{name}'s mail server{who} is there but takes no mail from us now. Mail "
        "waits and is tried again.",
        Port.NOT_SMTP: f"What listens on port 25 of {name}'s node is no mail server.",
    }[report.theirs]


def _say_ours(report: ReachReport, name: str) -> str:
    if report.ours is Ours.PROVEN:
        return f"{name}'s node could call our port 25: answers get here."
    if report.ours is Ours.HEARD:
        return (
            f"{name}'s node called our port 25 {_ago(report.heard_ago_s or 0.0)}: answers get here."
        )
    if report.ours is Ours.DEAF:
        return (
            f"Nobody listens on our port 25, so {name} cannot answer: `dexmesh mail on`, then "
            "`dexmesh up` (or `dexmesh mail serve`)."
        )
    if report.ours is Ours.UNPROVEN:
        return (
            f"Our port 25 is open here; whether {name} gets through to it (a firewall of this "
            "machine could be in the way) is not known until the first answer comes."
        )
    cause = {
        Port.REFUSED: "was refused: a firewall of this machine rejects it, or nobody listens",
        Port.UNREACHABLE: "found no way to us",
        Port.NO_GREETING: "got a connection and no greeting: our mail service hangs",
        Port.NOT_SMTP: "met something that is no mail server",
        Port.TURNS_AWAY: "was turned away by our mail server",
    }.get(
        report.called_back or Port.SILENT, "got nothing back: a firewall of this machine drops it"
    )
    return (
        f"{name} cannot answer: its call to our port 25 {cause}. Let fc00::/8 reach TCP port 25 "
        "on the mesh device."
    )


def _ago(seconds: float) -> str:
    for unit, length in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        count = int(seconds // length)
        if count:
            return f"{count} {unit}{'s' * (count != 1)} ago"
    return "just now"


# --- The call back: both ends of one line ----------------------------------------------------------


def format_callback(port: Port) -> str:
    """The reply to the verb: what the caller's port 25 said."""
    return f"250 2.0.0 {_RESULT}{port.value}"


def parse_callback(code: int, text: str) -> Port | None:
    """What the other node found at our port 25; None if it did not look, or its answer is none."""
    for word in text.split() if code == 250 else ():
        if word.startswith(_RESULT):
            try:
                return Port(word.removeprefix(_RESULT))
            except ValueError:
                return None
    return None


def judge_greeting(code: int) -> Port:
    """What the first reply of a mail server means."""
    if code == 220:
        return Port.ANSWERS
    return Port.TURNS_AWAY if code in (421, 450, 451, 521, 554) else Port.NOT_SMTP


def program_of(greeting: str, keywords: frozenset[str]) -> str:
    """The mail server behind a greeting, if it says so."""
    if CALLBACK_KEYWORD in keywords:
        return "dexmesh"
    words = greeting.lower()
    for program in ("dexmesh", "OpenSMTPD", "Postfix", "Exim", "Sendmail"):
        if program.lower() in words:
            return program
    return ""


class CallbackLimiter:
    """Allows one call back to a node in SAME_ADDRESS_S, MAX_A_MINUTE in all, MAX_AT_ONCE at a time."""

    def __init__(self) -> None:
        self._last: OrderedDict[Address, float] = OrderedDict()
        self._minute: list[float] = []
        self._running = 0

    def admit(self, address: Address, now: float) -> bool:
        """Whether to call now; if so, `release` must follow."""
        while self._last and next(iter(self._last.values())) <= now - SAME_ADDRESS_S:
            self._last.popitem(last=False)
        self._minute = [at for at in self._minute if at > now - 60.0]
        is_full = len(self._last) >= MAX_REMEMBERED or len(self._minute) >= MAX_A_MINUTE
        if address in self._last or is_full or self._running >= MAX_AT_ONCE:
            return False
        self._last[address] = now
        self._minute.append(now)
        self._running += 1
        return True

    def release(self) -> None:
        """A call is over."""
        self._running -= 1
