"""Decide who a program of this machine may write to and as whom, and complete the header it wrote.

Place     submission.py hands in envelope and header -> here -> store (people here) and queue (others)
Spec      docs/apps/mail.md §1, §4 "Submission"; RFC 6409 §8 (what a submission server may complete)
Keeps     From is always an own address; what is no mesh address never gets into the queue; a field
          that needs no change keeps every byte
Not here  mail from other nodes (policy.py, receiving.py)
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from email.utils import format_datetime

from dexmesh.apps.base.domains import Petnames, literal, parse_domain, suggest_tag
from dexmesh.apps.base.mailbox import Mailbox, parse_mailboxes
from dexmesh.apps.mail.proto.headers import (
    ADDRESS_FIELDS,
    Field,
    Header,
    make_field,
    render,
    repair_literals,
    without,
)
from dexmesh.apps.mail.proto.policy import LocalNames
from dexmesh.apps.mail.proto.receiving import OURS_ALONE
from dexmesh.apps.mail.proto.refusals import Reason, Refusal
from dexmesh.errors import AddressError
from dexmesh.values import dataclass

NOT_SENT = frozenset({"bcc", "resent-bcc", *OURS_ALONE})
_FOLD = ",\r\n\t"


@dataclass(frozen=True, slots=True)
class Addressee:
    """One recipient. `users` are the people here behind it; none: it is for another node."""

    mailbox: Mailbox
    users: tuple[str, ...] = ()


def judge_addressee(mailbox: Mailbox, here: LocalNames, petnames: Petnames) -> Addressee | Refusal:
    """Whom a program means. A bare name is a person here, else a contact's node is looked for."""
    if not mailbox.domain or here.owns(mailbox.domain):
        return _local(mailbox, here)
    address = parse_domain(mailbox.domain, petnames)
    if address == here.me.address:
        return _local(mailbox, here)
    if address is not None:
        is_wire_form = parse_domain(mailbox.domain) is not None and "." not in mailbox.domain
        domain = mailbox.domain if is_wire_form else literal(address)
        return Addressee(Mailbox(mailbox.local, domain))
    if (right := suggest_tag(str(mailbox))) is not None:
        return Refusal(550, "5.1.2", f"write <{right}> for <{mailbox}>", Reason.NO_TAG)
    if "." in mailbox.domain and not mailbox.domain.lower().endswith(".cjdns.alt"):
        text = f"<{mailbox}> is not on the mesh, and no way leads there from it"
        return Refusal(550, "5.1.2", text, Reason.NOT_ON_MESH)
    text = f"no contact is called {mailbox.domain}; `dexmesh contact add` takes somebody in"
    return Refusal(550, "5.1.2", text, Reason.UNKNOWN_CONTACT)


def _local(mailbox: Mailbox, here: LocalNames) -> Addressee | Refusal:
    users = here.users_of(mailbox.local)
    if not users:
        return Refusal(
            550, "5.1.1", f"nobody here is called <{mailbox.local}>", Reason.UNKNOWN_USER
        )
    return Addressee(Mailbox(mailbox.local, here.me.literal), users)


def own_sender(
    login: str | None, candidates: Sequence[Mailbox | None], here: LocalNames
) -> Mailbox:
    """The address a mail is sent as: the first candidate that is an own address of whoever logged in
    (of anybody here, without a login), else the login, else the first user.
    """
    name = next((one.name for one in candidates if one is not None and one.name), "")
    for one in candidates:
        if one is None or not (not one.domain or here.owns(one.domain)):
            continue
        users = here.users_of(one.local)
        if users and (login is None or login in users):
            return Mailbox(one.local, here.me.literal, name)
    local = login or (here.users[0] if here.users else "postmaster")
    return Mailbox(local, here.me.literal, name)


def authors(header: Header) -> tuple[Mailbox, ...]:
    """Whom From names; () if it cannot be read."""
    found: list[Mailbox] = []
    for field in header.all("from"):
        try:
            found += parse_mailboxes(repair_literals(field).value, needs_domain=False)
        except AddressError:
            return ()
    return tuple(found)


def complete_header(
    header: Header,
    sender: Mailbox,
    here: LocalNames,
    petnames: Petnames,
    *,
    date: datetime,
    message_id: str,
) -> bytes:
    """The header as it leaves, the empty line included: From is `sender`, every mesh address a literal,
    Date and Message-ID are there, Bcc is not.
    """
    kept = without(header.fields, NOT_SENT)
    fields: list[Field | bytes] = []
    has_from = False
    for field in kept:
        if field.name == "from":
            if not has_from:
                fields.append(_from(field, sender, here))
            has_from = True
        elif field.name in ADDRESS_FIELDS:
            fields.append(_with_literals(repair_literals(field), here, petnames))
        else:
            fields.append(field)
    names = {field.name for field in kept}
    missing = [] if has_from else [make_field("From", sender.formatted())]
    if "date" not in names:
        missing.append(make_field("Date", format_datetime(date)))
    if "message-id" not in names:
        missing.append(make_field("Message-ID", message_id))
    return render([*missing, *fields], header.rest)


def _from(field: Field, sender: Mailbox, here: LocalNames) -> Field | bytes:
    repaired = repair_literals(field)
    try:
        named = parse_mailboxes(repaired.value)
    except AddressError:
        named = ()
    is_right = (
        len(named) == 1
        and named[0].local == sender.local
        and named[0].domain.startswith("[")
        and parse_domain(named[0].domain) == here.me.address
    )
    return repaired if is_right else make_field("From", sender.formatted())


def _with_literals(field: Field, here: LocalNames, petnames: Petnames) -> Field | bytes:
    """The field with every mesh name as a literal; as it was if it has none, or is no list."""
    try:
        mailboxes = parse_mailboxes(field.value, needs_domain=False)
    except AddressError:
        return field
    written = [_wire_form(one, here, petnames) for one in mailboxes]
    if all(new is old for new, old in zip(written, mailboxes, strict=True)):
        return field
    name = field.raw.partition(b":")[0].decode("ascii", "replace").strip()
    parts = [one.formatted() for one in written]
    # `make_field` knows folds as "\r\n\t": each address gets a line of its own
    return make_field(name, _FOLD.join(parts))


def _wire_form(one: Mailbox, here: LocalNames, petnames: Petnames) -> Mailbox:
    if one.domain.startswith("["):
        return one
    if not one.domain:
        is_here = bool(here.users_of(one.local))
        return Mailbox(one.local, here.me.literal, one.name) if is_here else one
    address = here.me.address if here.owns(one.domain) else parse_domain(one.domain, petnames)
    return one if address is None else Mailbox(one.local, literal(address), one.name)
