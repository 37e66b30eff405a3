"""Keep the offers and answers of one call, and what they come to.

Place     outgoing.py, incoming.py, changes.py -> here -> media/offer.py; `plan` -> the seat
Spec      RFC 3264; docs/apps/sip.md §3 "SIP subset" (Offer/answer), rules 3, 4
Keeps     at most one offer of ours waits for its answer; the remote address of a plan is the
          signalling peer; who holds here stops sending sound at once, whatever the other side says
Not here  the messages that carry the bodies
"""

from __future__ import annotations

from dataclasses import replace

from dexmesh.apps.call.media.formats import Format
from dexmesh.apps.call.media.offer import (
    Agreed,
    LocalMedia,
    Refusal,
    accept_answer,
    answer,
    make_offer,
    refuse,
)
from dexmesh.apps.call.media.plan import MediaPlan
from dexmesh.apps.call.media.sdp import Direction, SessionDescription, decode, encode
from dexmesh.apps.call.phone.values import SeatMedia
from dexmesh.errors import DecodeError, UsageError
from dexmesh.wire.address import Address

BAD_REQUEST = 400


class Negotiation:
    """One per call. `session_id` is a random number below 2**63."""

    def __init__(self, own: Address, remote: Address, session_id: int) -> None:
        self._own = own
        self._remote = remote
        self._session_id = session_id
        self._local: LocalMedia | None = None
        self._sent: SessionDescription | None = None
        self._offered: SessionDescription | None = None
        self._agreed: Agreed | None = None
        self.held_here = False

    def take_seat(self, seat: SeatMedia) -> None:
        """From now on this seat has the media."""
        self._local = LocalMedia(self._own, seat.port, seat.codecs, self._session_id)

    @property
    def is_offering(self) -> bool:
        """Whether an offer of ours waits for its answer."""
        return self._offered is not None

    @property
    def plan(self) -> MediaPlan | None:
        """What the seat does now; None before anything was agreed."""
        return None if self._agreed is None else self._plan_of(self._agreed)

    @property
    def held_there(self) -> bool:
        """Whether the other side does not listen."""
        return self._agreed is not None and not self._agreed.direction.sends

    def offer(self) -> bytes:
        """The body of an offer; then `handle_answer` or `drop_offer`."""
        self._offered = self._sent = make_offer(self._seated(), self._willing(), self._sent)
        return encode(self._sent)

    def drop_offer(self) -> None:
        """Our offer was refused: what was agreed before goes on."""
        self._offered = None

    def handle_answer(self, body: bytes) -> Refusal | None:
        """Take the answer to our offer; or say why nothing comes of it."""
        offered, self._offered = self._offered, None
        agreed = _accept(offered, body)
        if isinstance(agreed, Refusal):
            return agreed
        self._agreed = agreed
        return None

    def preview(self, body: bytes) -> MediaPlan | None:
        """What an answer that is not final yet comes to (sound before the other side answers)."""
        agreed = _accept(self._offered, body)
        return None if isinstance(agreed, Refusal) else self._plan_of(agreed)

    def answer(self, body: bytes) -> bytes | Refusal:
        """The answer to their offer."""
        offer = _read(body)
        if isinstance(offer, Refusal):
            return offer
        result = answer(offer, self._seated(), self._willing(), self._sent)
        if isinstance(result, Refusal):
            return result
        self._sent, self._agreed = result.description, result.agreed
        return encode(result.description)

    def _willing(self) -> Direction:
        return Direction.SENDONLY if self.held_here else Direction.SENDRECV

    def _plan_of(self, agreed: Agreed) -> MediaPlan:
        """Who holds is neither heard nor hears, though his offer says that he would send (music)."""
        direction = Direction.INACTIVE if self.held_here else agreed.direction
        return MediaPlan(self._remote, replace(agreed, direction=direction))

    def _seated(self) -> LocalMedia:
        if self._local is None:
            raise UsageError("no seat has this call")
        return self._local


def refuse_offer(body: bytes, formats: tuple[Format, ...]) -> Refusal | None:
    """Why nobody with these formats could answer the offer in a body; None if somebody could."""
    offer = _read(body)
    return offer if isinstance(offer, Refusal) else refuse(offer, formats)


def _read(body: bytes) -> SessionDescription | Refusal:
    """400 if it is no session description."""
    try:
        return decode(body)
    except DecodeError as error:
        return Refusal(error.reason, BAD_REQUEST)


def _accept(offered: SessionDescription | None, body: bytes) -> Agreed | Refusal:
    if offered is None:
        return Refusal("there was no offer")
    answered = _read(body)
    return answered if isinstance(answered, Refusal) else accept_answer(offered, answered)
