"""Decide about strangers: see who wrote, accept somebody as a contact, block somebody.

Place     control_calls.py -> here -> contacts/book.py, store/ (who is blocked), imap/boxes.py
Spec      docs/apps/mail.md §4 "Spam control without lists", §5; docs/apps/invitation.md "Accepting"
Keeps     who a stranger is follows from the node his mail came from, never from what he writes; a
          preview is plain text
Not here  how many mails a stranger may send (store/strangers.py)
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from dexmesh.apps.base.control import Caller, ControlServer
from dexmesh.apps.base.domains import literal, parse_domain
from dexmesh.apps.base.mailbox import Mailbox, readable_mailboxes
from dexmesh.apps.contacts.book import DuplicateError
from dexmesh.apps.contacts.contact import Contact
from dexmesh.apps.contacts.invitation import HEADER, Invitation, contact_from, invitation_answer
from dexmesh.apps.contacts.petname import MAX_PETNAME_CHARS, check_petname, petname_from
from dexmesh.apps.contacts.recipients import node_of
from dexmesh.apps.mail.control_calls import Arguments, Desk, number_of, require_user, text_of
from dexmesh.apps.mail.imap.boxes import REQUESTS, TRASH
from dexmesh.apps.mail.imap.folder import Folder
from dexmesh.apps.mail.proto.parts import field_value, parse_message
from dexmesh.apps.mail.reading import first_text
from dexmesh.apps.mail.reading_calls import (
    LATEST,
    find_message,
    id_of,
    newest_first,
    open_box,
    summary_of,
)
from dexmesh.apps.mail.store.values import Summary
from dexmesh.errors import AppError
from dexmesh.values import dataclass
from dexmesh.wire.address import Address, format_address

PREVIEW_CHARS = 200  # ours
PREVIEW_BYTES = 64 << 10  # ours: of a message, looked at for a preview
MOST_SHOWN = 500  # ours: newest requests that are looked at
_NUMBER = re.compile(r"(?:[Rr]equests/)?(\d{1,10}|latest)")


@dataclass(frozen=True, slots=True)
class _Request:
    """One mail of a stranger."""

    uid: int
    summary: Summary
    sender: Mailbox
    invitation: Invitation | None
    preview: str

    @property
    def remote(self) -> Address | None:
        return self.summary.remote


def register(server: ControlServer, desk: Desk) -> None:
    """Offer `mail.requests`, `accept`, `block`, `unblock` and `blocked`."""
    calls = People(desk)
    server.register("mail.requests", calls.requests)
    server.register("mail.accept", calls.accept)
    server.register("mail.block", calls.block)
    server.register("mail.unblock", calls.unblock)
    server.register("mail.blocked", calls.blocked)


class People:
    """The calls about who may write."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def requests(self, caller: Caller, arguments: Arguments) -> dict[str, Any]:
        """Everybody who waits, the newest first, one row a node."""
        limit = int(number_of(arguments, "limit", 50, 1, MOST_SHOWN))
        by_node: dict[Address | None, list[_Request]] = {}
        for one in await self._all(require_user(caller)):
            by_node.setdefault(one.remote, []).append(one)
        rows = [_row(found) for found in list(by_node.values())[:limit]]
        return {"requests": rows, "people": len(by_node)}

    async def _all(self, user: str) -> list[_Request]:
        box = await open_box(self._desk, user, REQUESTS)
        return await box.run(_read_requests, box.folder)

    # Accept

    async def accept(self, caller: Caller, arguments: Arguments) -> dict[str, Any]:
        """Take a stranger into the address book, and what he wrote into INBOX."""
        user, name = require_user(caller), text_of(arguments, "petname", "")
        found = await self._requests_of(user, text_of(arguments, "who", ""))
        newest = found[0]
        remote = newest.remote
        if remote is None:
            raise AppError(
                "this mail came from no other node", "`dexmesh mail move` moves it to INBOX"
            )
        contact, is_new = await self._desk.in_thread(self._take_in, found, remote, name)
        if self._desk.store.is_blocked(remote):
            await self._desk.store.unblock(remote)
        moved = await self._desk.store.accept(user, remote)
        return {
            "petname": contact.petname,
            "name": contact.full_name,
            "mailbox": str(next(iter(contact.mails), newest.sender)),
            "address": format_address(remote),
            "is_new": is_new,
            "moved": moved,
        }

    async def _requests_of(self, user: str, who: str) -> list[_Request]:
        """What one stranger wrote, the newest first. Raises AppError if nobody is meant."""
        everybody = await self._all(user)
        who = who.strip()
        if not everybody:
            raise AppError("nobody waits in Requests", "`dexmesh contact add` takes somebody in")
        nodes = {one.remote for one in everybody}
        if not who and len(nodes) > 1:
            raise AppError(
                "several people wait: who is meant?", "`dexmesh mail requests` shows them"
            )
        number = _NUMBER.fullmatch(who)
        if not who or (number is not None and number.group(1) == LATEST):
            chosen = everybody[0].remote
        elif number is not None:
            same = [one for one in everybody if one.uid == int(number.group(1))]
            if not same:
                raise AppError(f"there is no request {who}", "`dexmesh mail requests` shows them")
            chosen = same[0].remote
        else:
            chosen = _node_meant(who, everybody)
        return [one for one in everybody if one.remote == chosen]

    def _take_in(self, found: list[_Request], remote: Address, name: str) -> tuple[Contact, bool]:
        """The contact, and whether he is new. For a thread. Raises ContactError."""
        book = self._desk.book
        invitation = next((one.invitation for one in found if one.invitation), None)
        sender = found[0].sender if invitation is None else invitation.mailbox
        known = book.by_mailbox(sender)
        if known is not None:
            return known, False
        if invitation is not None:
            # Not verified: that he got an invitation of ours is his word; the key is proven anyway.
            contact = contact_from(invitation, None, check_petname(name) if name else "")
        else:
            petname = name or petname_from(sender.name) or petname_from(sender.local) or "stranger"
            mail = Mailbox(sender.local, literal(remote))
            contact = Contact(check_petname(petname), sender.name, (mail,))
        if not name:
            contact = dataclasses.replace(contact, petname=self._free(contact.petname))
        try:
            book.add(contact)
        except DuplicateError:
            if (known := book.by_mailbox(sender)) is not None:
                return known, False
            raise
        return contact, True

    def _free(self, petname: str) -> str:
        """A petname nobody has: with a number behind it, if need be."""
        taken = set(self._desk.book.petnames())
        if petname not in taken:
            return petname
        stems = (f"{petname[: MAX_PETNAME_CHARS - 6]}-{number}" for number in range(2, 10_000))
        return next(stem for stem in stems if stem not in taken)

    # Block

    async def block(self, caller: Caller, arguments: Arguments) -> dict[str, Any]:
        """Refuse a node from now on; what it wrote into Requests goes to Trash."""
        user = require_user(caller)
        address = await self._node(user, arguments)
        await self._desk.store.block(address)
        requests = [one.uid for one in await self._all(user) if one.remote == address]
        box = await open_box(self._desk, user, REQUESTS)
        moved = await box.move(requests, await open_box(self._desk, user, TRASH))
        return {**self._describe(address), "moved": len(moved)}

    async def unblock(self, caller: Caller, arguments: Arguments) -> dict[str, Any]:
        """Let a node in again."""
        address = await self._node(require_user(caller), arguments)
        if not self._desk.store.is_blocked(address):
            hint = "`dexmesh mail blocked` shows who is"
            raise AppError(f"{format_address(address)} is not blocked", hint)
        await self._desk.store.unblock(address)
        return self._describe(address)

    async def blocked(self, _caller: Caller, _arguments: Arguments) -> dict[str, Any]:
        """Every blocked node."""
        return {"blocked": [self._describe(one) for one in self._desk.store.blocked]}

    def _describe(self, address: Address) -> dict[str, Any]:
        petname = self._desk.book.petname_of(address)
        return {"address": format_address(address), "petname": petname or ""}

    async def _node(self, user: str, arguments: Arguments) -> Address:
        """The node of who is meant: a message's number, a petname, an address. Raises AppError."""
        who = text_of(arguments, "who").strip()
        if re.fullmatch(r"(?:.+/)?(?:\d+|latest)", who):
            folder = {"folder": REQUESTS} if "/" not in who else {}
            box, name, uid = await find_message(self._desk, user, {"id": who, **folder})
            summary = await box.run(summary_of, box.folder, uid, name)
            if summary is None or summary.remote is None:
                raise AppError(f"{id_of(name, uid)} came from no other node")
            return summary.remote
        domain = who.rpartition("@")[2]
        address = node_of(who) or parse_domain(domain, self._desk.book.address_of)
        if address is None:
            hint = "write a number of `dexmesh mail requests`, an address, a key, or a petname"
            raise AppError(f"{who[:80]!r} is nobody we know", hint)
        if address == self._desk.me.address:
            raise AppError("that is this node itself")
        return address


def _node_meant(who: str, everybody: list[_Request]) -> Address | None:
    """The node of a mailbox, address, key, or the name somebody gives himself."""
    address = node_of(who) or parse_domain(who.rpartition("@")[2])
    nodes = {one.remote for one in everybody}
    if address in nodes and address is not None:
        return address
    same = {
        one.remote
        for one in everybody
        if who.lower() in (one.sender.local, one.sender.name.lower())
    }
    if len(same) == 1:
        return same.pop()
    hint = "`dexmesh mail requests` shows them; take the number in front"
    if len(same) > 1:
        raise AppError(f"several strangers call themselves {who[:80]!r}", hint)
    raise AppError(f"{who[:80]!r} is not among those who wait", hint)


def _row(found: list[_Request]) -> dict[str, Any]:
    newest = found[0]
    return {
        "id": id_of(REQUESTS, newest.uid),
        "number": newest.uid,
        "from": str(Mailbox(newest.sender.local, newest.sender.domain)),
        "name": newest.sender.name,
        "address": format_address(newest.remote) if newest.remote else None,
        "is_from_other": newest.summary.is_from_other,
        "says_invited": any(one.invitation for one in found),
        "subject": newest.summary.subject,
        "preview": newest.preview,
        "unix_time": newest.summary.unix_time,
        "mails": len(found),
        "ids": [id_of(REQUESTS, one.uid) for one in found],
    }


def _read_requests(folder: Folder) -> list[_Request]:
    """The newest requests. For a thread."""
    found = []
    for entry in newest_first(folder)[:MOST_SHOWN]:
        summary = summary_of(folder, entry.uid, REQUESTS)
        data = folder.read(entry.uid, PREVIEW_BYTES)
        if summary is not None and data is not None:
            found.append(_request(entry.uid, summary, data))
    return found


def _request(uid: int, summary: Summary, data: bytes) -> _Request:
    header = parse_message(data).header
    remote = summary.remote
    invitation = None
    if remote is not None:
        value = field_value(data, header, HEADER.lower().encode())
        invitation = invitation_answer(value, remote) if value else None
    sender = _sender(data, header, summary)
    return _Request(uid, summary, sender, invitation, first_text(data, PREVIEW_CHARS))


def _sender(data: bytes, header: tuple[int, int], summary: Summary) -> Mailbox:
    """Who it is, as far as his node vouches for it: From if it is there, else the envelope's sender."""
    writer = next(iter(readable_mailboxes(summary.from_text)), None)
    if writer is not None and (
        summary.remote is None or parse_domain(writer.domain) == summary.remote
    ):
        return writer
    envelope = next(iter(readable_mailboxes(field_value(data, header, b"return-path"))), None)
    if envelope is not None and parse_domain(envelope.domain) == summary.remote:
        return envelope
    return Mailbox("unknown", literal(summary.remote) if summary.remote else "localhost")
