"""Give a mail from the mesh the header it is stored with.

Place     receiver.py hands in what the connection is and what the header says -> here -> the spool
Spec      docs/apps/mail.md §3 "Quoted literal repair", §4 "Receiver"; RFC 5321 §4.4, RFC 8601
Keeps     what only we may say is taken out before we say it; a field that needs no repair keeps every
          byte
Not here  the body, which nobody touches
"""

from __future__ import annotations

from datetime import datetime
from email.utils import format_datetime

from dexmesh.apps.base.domains import literal, parse_domain
from dexmesh.apps.base.mailbox import Mailbox, parse_mailboxes
from dexmesh.apps.base.me import Me
from dexmesh.apps.mail.proto.headers import (
    Field,
    Header,
    make_field,
    render,
    repair_literals,
    without,
)
from dexmesh.apps.mail.proto.refusals import Reason, Refusal
from dexmesh.errors import AddressError
from dexmesh.values import dataclass
from dexmesh.wire.address import Address, format_address

FROM_DIFFERS = "X-Mesh-From-Differs"
RESULTS = "Authentication-Results"
MAX_HOPS = 50  # ours: Received fields of a message that goes round in circles
MAX_FROM_BYTES = 4096  # ours: some fifty authors; reading more would hold up everybody else's mail

OURS_ALONE = frozenset({RESULTS.lower(), FROM_DIFFERS.lower(), "return-path"})

ROUND = Refusal(554, "5.4.6", "the message has been through too many nodes", Reason.LOOP)


@dataclass(frozen=True, slots=True)
class Arrival:
    """How a mail came. `sender` is the envelope's (None: `<>`), `helo` what the client calls itself,
    `protocol` the word for Received, `id` ours for this mail."""

    remote: Address
    helo: str
    protocol: str
    sender: Mailbox | None
    id: str
    date: datetime


def edit_received(header: Header, arrival: Arrival, me: Me) -> bytes | Refusal:
    """The header with our trace on top, repaired, without what only we may say."""
    if len(header.all("received")) > MAX_HOPS:
        return ROUND
    kept = tuple(repair_literals(field) for field in without(header.fields, OURS_ALONE))
    fields: list[Field | bytes] = [*_trace(arrival, me)]
    if not is_from(kept, arrival.remote):
        fields.append(make_field(FROM_DIFFERS, f"sent by {literal(arrival.remote)}"))
    return render([*fields, *kept], header.rest)


def _trace(arrival: Arrival, me: Me) -> tuple[bytes, ...]:
    sender = "<>" if arrival.sender is None else f"<{arrival.sender}>"
    remote = format_address(arrival.remote)
    results = f"{me.key_name};\r\n\tx-mesh=pass smtp.remote-ip={remote}"
    received = (
        f"from {_atom(arrival.helo)} ([IPv6:{remote}])\r\n\tby {me.literal} (dexmesh)"
        f" with {arrival.protocol} id {arrival.id};\r\n\t{format_datetime(arrival.date)}"
    )
    return (
        make_field("Return-Path", sender),
        make_field("Received", received),
        make_field(RESULTS, results),
    )


def is_from(fields: tuple[Field, ...], remote: Address) -> bool:
    """Whether the header names nobody but people of that node as authors, and in few words."""
    authors = [field for field in fields if field.name == "from"]
    if sum(len(field.raw) for field in authors) > MAX_FROM_BYTES:
        return False
    found = False
    for field in authors:
        try:
            mailboxes = parse_mailboxes(field.value)
        except AddressError:
            return False
        if not mailboxes or any(parse_domain(one.domain) != remote for one in mailboxes):
            return False
        found = True
    return found


def _atom(helo: str) -> str:
    """What the client calls itself, fit for a Received field."""
    text = "".join(char for char in helo if char.isascii() and (char.isalnum() or char in "[]:.-_"))
    return text[:100] or "unknown"
