"""Send and read keys in SIP INFO, for phones that take no telephone-events.

Place     call.py -> here -> dialog -> the other side; and back
Spec      docs/apps/sip.md §3 "SIP subset" (INFO); the old `application/dtmf-relay` that linphone and
          others use, and `application/dtmf`
Keeps     one INFO is under way at a time, so that keys arrive in order; at most MAX_DIGITS wait
Not here  telephone-events (media/dtmf.py)
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from dexmesh.apps.call.phone.values import CallError
from dexmesh.apps.call.sip.headers import Field
from dexmesh.apps.call.sip.message import Request, Response
from dexmesh.apps.call.sip.outputs import TransactionId

if TYPE_CHECKING:
    from dexmesh.apps.call.phone.call import Call

KEYS: Final = "0123456789*#ABCD"  # RFC 4733 §3.2, in the order of their numbers
MAX_DIGITS: Final = 64  # ours
RELAY: Final = "application/dtmf-relay"
PLAIN: Final = "application/dtmf"
ACCEPT_KEYS: Final[Field] = ("Accept", f"{RELAY}, {PLAIN}")
DURATION_MS: Final = 160  # ours: as linphone says

_SIGNAL = re.compile(rb"^[ \t]*Signal[ \t]*=[ \t]*([0-9A-Da-d*#]{1,2})[ \t]*$", re.MULTILINE)
_PLAIN = re.compile(rb"\s*([0-9A-Da-d*#]{1,64})\s*")
_MAX_BODY = 1024


def check_digits(digits: str) -> str:
    """The keys in upper case. Raises CallError unless each is one of KEYS."""
    wanted = digits.upper()
    if not wanted or len(wanted) > MAX_DIGITS or any(digit not in KEYS for digit in wanted):
        raise CallError(f"no keys: {digits[:20]!r}", f"up to {MAX_DIGITS} of {KEYS}")
    return wanted


def read_digits(request: Request) -> str | None:
    """The keys that an INFO tells; None if its body is none of the two kinds, or unsound."""
    kind = request.content_type
    if kind is None or len(request.body) > _MAX_BODY:
        return None
    if kind.kind == RELAY:
        found = _SIGNAL.search(request.body.replace(b"\r", b"\n"))
        return None if found is None else _key(found[1].decode())
    if kind.kind == PLAIN and (found := _PLAIN.fullmatch(request.body)) is not None:
        return found[1].decode().upper()
    return None


def _key(text: str) -> str | None:
    """`5`, `*`, `A`; also the number of a key: 10 is `*`, 11 `#`, 12 to 15 are A to D."""
    if len(text) == 1:
        return text.upper()
    return KEYS[int(text)] if text.isdigit() and 10 <= int(text) < len(KEYS) else None


class KeySender:
    """The keys of one call that go by INFO."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._waiting = ""
        self._sent: TransactionId | None = None

    def send(self, digits: str, now: float) -> None:
        """Send these behind those that wait. Raises CallError if that is too many."""
        if len(self._waiting) + len(digits) > MAX_DIGITS:
            raise CallError("too many keys at once", "wait until those before were sent")
        self._waiting += digits
        self._send_next(now)

    def owns(self, id_: TransactionId) -> bool:
        """Whether this transaction is an INFO from here."""
        return id_ == self._sent

    def handle_answer(self, response: Response, now: float) -> None:
        """The other side took the key, or not: then the rest makes no sense to it either."""
        if not response.is_final:
            return
        self._sent = None
        if not response.is_success:
            self._waiting = ""
        self._send_next(now)

    def handle_up(self, now: float) -> None:
        """The call is up: what was pressed before may go."""
        self._send_next(now)

    def handle_failed(self) -> None:
        """No answer: forget the rest."""
        self._sent, self._waiting = None, ""

    def _send_next(self, now: float) -> None:
        dialog = self._call.dialog
        if self._sent is not None or not self._waiting or dialog is None or not self._call.is_up:
            return
        digit, self._waiting = self._waiting[0], self._waiting[1:]
        body = f"Signal={digit}\r\nDuration={DURATION_MS}\r\n".encode()
        request = dialog.make_request("INFO", fields=[("Content-Type", RELAY)], body=body)
        self._sent = self._call.send(request, dialog, now)
