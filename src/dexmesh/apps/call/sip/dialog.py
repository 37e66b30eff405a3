"""Keep what two phones agreed on: tags, sequence numbers, where to send the next request.

Place     phone/call.py makes one for each call -> requests go to transaction.py
Spec      RFC 3261 §12 (dialogs), §13.2.2.4 (ACK for 2xx), §14 (re-INVITE refreshes the target)
Keeps     requests go to the remote Contact exactly as given, and to no other node than the one the
          dialog began with (docs/apps/sip.md §1 and §3); CSeq of ours grows by one each time
Not here  who repeats a 2xx until its ACK (transaction.py), offer and answer (media/), states of a
          call (phone/call.py)
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from dexmesh.apps.call.sip.headers import Field
from dexmesh.apps.call.sip.message import Request, Response
from dexmesh.apps.call.sip.peer import Peer
from dexmesh.values import dataclass


class DialogState(Enum):
    """EARLY after a 101-199 with a To tag, CONFIRMED after a 2xx, ENDED after BYE or refusal."""

    EARLY = "early"
    CONFIRMED = "confirmed"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class DialogId:
    """What names a dialog, seen from us (RFC 3261 §12). Tags of RFC 2543 phones may be empty."""

    call_id: str
    local_tag: str
    remote_tag: str

    @classmethod
    def of_request(cls, request: Request) -> DialogId:
        """Of a request that came in: our tag is in To."""
        raise NotImplementedError

    @classmethod
    def of_response(cls, response: Response) -> DialogId:
        """Of an answer that came in: our tag is in From."""
        raise NotImplementedError


class Dialog:
    """One dialog. Changes only through the methods below.

    `peer` is where the next request of ours goes: always the address the dialog began with; the
    port and transport are those of the remote Contact if it names that address, else those the
    last message came from.
    """

    id: DialogId
    state: DialogState
    peer: Peer
    local: str
    """Our From in this dialog, with tag."""
    remote: str
    """Our To in this dialog: the other side's own text, with tag."""
    remote_target: str
    """The other side's Contact, exactly as given."""

    @classmethod
    def as_caller(cls, invite: Request, response: Response, peer: Peer) -> Dialog:
        """From an INVITE of ours and a 101-299 with a To tag that came from `peer`."""
        raise NotImplementedError

    @classmethod
    def as_callee(cls, invite: Request, response: Response, peer: Peer) -> Dialog:
        """From an INVITE that came from `peer` and our 101-299 with our To tag."""
        raise NotImplementedError

    def matches(self, message: Request | Response, peer: Peer) -> bool:
        """Whether a message that came in belongs here: the three names and the source address."""
        raise NotImplementedError

    def handle_request(self, request: Request, peer: Peer) -> int:
        """A request that came in inside this dialog: the status to refuse it with, 0 if it is sound.

        500 where its CSeq is lower than one before (RFC 3261 §12.2.2). INVITE and UPDATE renew the
        remote target; a BYE ends the dialog.
        """
        raise NotImplementedError

    def handle_response(self, response: Response, peer: Peer) -> None:
        """An answer to a request of ours inside this dialog (or to its INVITE).

        A 2xx to INVITE confirms and renews the remote target; a refused first INVITE, 481 and 408
        to anything, and any final answer to BYE end the dialog (RFC 3261 §12.2.1.2, §15).
        """
        raise NotImplementedError

    def confirm(self) -> None:
        """We sent the 2xx: an early dialog is confirmed."""
        raise NotImplementedError

    def end(self) -> None:
        """No more requests: BYE was sent, or the call was refused."""
        raise NotImplementedError

    def make_request(
        self, method: str, *, fields: Iterable[Field] = (), body: bytes = b""
    ) -> Request:
        """The next request of ours (no ACK, no CANCEL), with the next CSeq. UsageError once ended,
        but for a BYE."""
        raise NotImplementedError

    def make_ack(self, cseq: int, *, fields: Iterable[Field] = (), body: bytes = b"") -> Request:
        """The ACK for the 2xx to our INVITE of that CSeq number (RFC 3261 §13.2.2.4)."""
        raise NotImplementedError
