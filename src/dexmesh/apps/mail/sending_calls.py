"""Send what a program of this machine hands over: find the people, submit, copy, say what became of it.

Place     control_calls.py -> here -> contacts/ (who is meant), submission.py, queue/, imap/boxes.py
Spec      docs/apps/mail.md §1 (recipients), §4 "Submission"; ours: docs/apps/mail-control.md
Keeps     nothing is sent unless every recipient is clear; what was sent lies in Sent; uploads are
          bounded in number, size and age
Not here  how a message is written (proto/letters.py); when it is tried again (queue/)
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass as mutable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dexmesh.apps.base.control import Caller, ControlServer
from dexmesh.apps.base.domains import parse_domain
from dexmesh.apps.base.mailbox import Mailbox, readable_mailboxes
from dexmesh.apps.contacts.contact import Identity, mailbox_identity
from dexmesh.apps.mail.control_calls import (
    Arguments,
    Desk,
    number_of,
    require_user,
    text_of,
    texts_of,
)
from dexmesh.apps.mail.imap.boxes import INBOX, SENT, Box
from dexmesh.apps.mail.imap.folder import Folder
from dexmesh.apps.mail.proto.bounces import failures_in
from dexmesh.apps.mail.proto.letters import Letter, compose
from dexmesh.apps.mail.proto.parts import MAX_HEADER_BYTES, field_values, parse_message
from dexmesh.apps.mail.proto.reach import ReachReport, is_outdated
from dexmesh.apps.mail.proto.refusals import Refusal
from dexmesh.apps.mail.queue import QueueId, State, Waiting
from dexmesh.apps.mail.reach_calls import describe
from dexmesh.apps.mail.reading_calls import newest_first, open_box, summary_of
from dexmesh.apps.mail.spool import SpoolFile
from dexmesh.errors import AppError, MailError
from dexmesh.wire.address import Address, format_address

MAX_TEXT_CHARS = 500_000  # ours: of a text that comes without a message around it
MAX_RECIPIENTS = 100
MAX_HEADER_CHARS = 4000  # ours: of a field that comes along
MAX_UPLOADS = 8  # ours: at once
UPLOAD_S = 600.0  # ours: an upload that nobody continues
LONGEST_WAIT_S = 60.0  # ours: for the first attempt
POLL_S = 0.1  # ours
LOOK_AFTER_S = 1.0  # ours: a first attempt that takes longer is worth a look at both ways
_REPORTS_LOOKED_AT = 120  # ours: newest mails, when a mail left the queue: one a node, and some
_REPORT_BYTES = 256 << 10  # ours


@mutable
class _Upload:
    user: str
    file: SpoolFile
    touched: float


def register(server: ControlServer, desk: Desk) -> None:
    """Offer `mail.whoami`, `resolve`, `upload`, `submit` and `send`."""
    calls = Sending(desk)
    server.register("mail.whoami", calls.whoami)
    server.register("mail.resolve", calls.resolve)
    server.register("mail.upload", calls.upload)
    server.register("mail.submit", calls.submit)
    server.register("mail.send", calls.send)


class Sending:
    """The calls about messages that go out."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._uploads: dict[str, _Upload] = {}
        self._large = asyncio.Semaphore(2)  # whole messages in memory at once

    async def whoami(self, caller: Caller, _arguments: Arguments) -> dict[str, Any]:
        """The user one acts for, and his addresses."""
        user, me = require_user(caller), self._desk.me
        return {
            "user": user,
            "address": f"{user}@{me.literal}",
            "key_address": f"{user}@{me.key_name}",
            "max_message_bytes": self._desk.settings.max_message_bytes,
        }

    async def resolve(self, _caller: Caller, arguments: Arguments) -> dict[str, Any]:
        """Whom each word of `to` means; an answer a word, with what to write instead if it is nobody."""
        words = texts_of(arguments, "to", MAX_RECIPIENTS)
        answers = []
        for word in words:
            found = await self._desk.in_thread(self._meant, word)
            if isinstance(found, Mailbox):
                answers.append({"text": word, **self._describe(found)})
            else:
                answers.append({"text": word, "error": str(found), "hint": found.hint})
        return {"to": answers}

    def _meant(self, word: str) -> Mailbox | AppError:
        me = self._desk.me
        user = self._desk.settings.user(word)
        if user is not None and self._desk.book.get(word) is None:
            return Mailbox(user.name, me.literal)  # somebody who lives here
        found = self._desk.book.resolve_recipient(word)
        if isinstance(found, Mailbox):
            return found
        hint = found.hint
        if not found.instead and "@" in word:
            hint = "mail goes to nodes of the mesh: name@[IPv6:fc..], name@<key>.k, or a petname"
        elif not found.instead and word.strip():
            hint = f"`dexmesh contact add {word.strip()[:40]} ADDRESS` takes somebody in; {hint}"
        return AppError(found.reason, hint)

    def _describe(self, mailbox: Mailbox) -> dict[str, Any]:
        address = parse_domain(mailbox.domain)
        return {
            "mailbox": str(Mailbox(mailbox.local, mailbox.domain)),
            "name": mailbox.name,
            "petname": self._desk.petname_at(mailbox),
            "address": format_address(address) if address else None,
            "is_here": address == self._desk.me.address,
        }

    async def _recipients(self, arguments: Arguments, name: str) -> tuple[Mailbox, ...]:
        found = []
        for word in texts_of(arguments, name, MAX_RECIPIENTS):
            one = await self._desk.in_thread(self._meant, word)
            if isinstance(one, AppError):
                raise one
            found.append(one)
        return tuple({mailbox_identity(one): one for one in found}.values())

    async def send(self, caller: Caller, arguments: Arguments) -> dict[str, Any]:
        """Compose and send a text; `headers` and `references` may be added."""
        user = require_user(caller)
        to, cc = await self._recipients(arguments, "to"), await self._recipients(arguments, "cc")
        headers = arguments.get("headers", {})
        if not isinstance(headers, dict) or len(headers) > 10:
            raise AppError("'headers' is an object of at most 10 fields")
        letter = Letter(
            sender=Mailbox(user, self._desk.me.literal),
            to=to,
            cc=cc,
            subject=text_of(arguments, "subject", ""),
            text=text_of(arguments, "text", "", MAX_TEXT_CHARS),
            references=tuple(texts_of(arguments, "references")),
            headers=tuple(
                (str(name), str(value)[:MAX_HEADER_CHARS]) for name, value in headers.items()
            ),
        )
        mark = secrets.token_hex(12)
        message_id = f"<{mark}@{self._desk.me.key_name}>"
        data = compose(
            letter, date=datetime.now(UTC).astimezone(), message_id=message_id, boundary=f"={mark}"
        )
        file = self._desk.spool.begin()
        try:
            _accepted(await file.write(data))
            _accepted(await file.finish())
            return await self._submit(user, file.path, (*to, *cc), arguments)
        finally:
            await file.remove()

    async def upload(self, caller: Caller, arguments: Arguments) -> dict[str, Any]:
        """A piece (base64) of a message; without `upload` a new one begins."""
        user, token = require_user(caller), text_of(arguments, "upload", "")
        await self._drop_old()
        if not token:
            if len(self._uploads) >= MAX_UPLOADS:
                raise MailError(452, "4.3.1", "too many messages are being written, try again")
            token = secrets.token_hex(16)
            self._uploads[token] = _Upload(user, self._desk.spool.begin(), time.monotonic())
        upload = self._upload(user, token)
        try:
            data = base64.b64decode(text_of(arguments, "data", "", 1 << 20), validate=True)
        except binascii.Error:
            raise AppError("'data' is base64") from None
        if upload.file.size + len(data) > self._desk.settings.max_message_bytes:
            await self._drop(token)
            most = self._desk.settings.max_message_bytes
            text = (
                f"a mail has at most {most} bytes, in which files take a third more than they have"
            )
            raise MailError(552, "5.3.4", text)
        upload.touched = time.monotonic()
        _accepted(await upload.file.write(data))
        return {"upload": token, "size": upload.file.size}

    async def submit(self, caller: Caller, arguments: Arguments) -> dict[str, Any]:
        """Send the uploaded message to these people."""
        user, token = require_user(caller), text_of(arguments, "upload")
        upload = self._upload(user, token)
        try:
            people = await self._recipients(arguments, "to")
            _accepted(await upload.file.finish())
            await self._desk.in_thread(self._require_own_author, user, upload.file.path)
            return await self._submit(user, upload.file.path, people, arguments)
        finally:
            await self._drop(token)

    def _require_own_author(self, user: str, message: Path) -> None:
        """Nobody writes as somebody else. For a thread. Raises MailError."""
        with message.open("rb") as file:
            data = file.read(MAX_HEADER_BYTES)
        tree = parse_message(data)
        values = field_values(data, tree.header, b"from")
        people = [one for value in values for one in readable_mailboxes(value)]
        aliases = self._desk.settings.aliases
        for one in people:
            is_own_name = one.local.lower() == user or user in aliases.get(one.local.lower(), ())
            if not is_own_name or parse_domain(one.domain) != self._desk.me.address:
                own = f"{user}@{self._desk.me.literal}"
                raise MailError(550, "5.7.1", f"From names <{one}>, and you are <{own}>")
        if len(people) != 1 or len(values) != 1:
            raise MailError(550, "5.6.0", "a message has one From field with one address")

    def _upload(self, user: str, token: str) -> _Upload:
        upload = self._uploads.get(token)
        if upload is None or upload.user != user:
            raise AppError("there is no such upload", "begin it again")
        return upload

    async def _drop_old(self) -> None:
        now = time.monotonic()
        for token in [t for t, one in self._uploads.items() if now - one.touched > UPLOAD_S]:
            await self._drop(token)

    async def _drop(self, token: str) -> None:
        upload = self._uploads.pop(token, None)
        if upload is not None:
            await upload.file.remove()

    # What becomes of it

    async def _submit(
        self, user: str, message: Path, people: Sequence[Mailbox], arguments: Arguments
    ) -> dict[str, Any]:
        if not people:
            raise AppError(
                "nobody is named as recipient", "name one: `dexmesh mail send WHO SUBJECT`"
            )
        wait_s = number_of(arguments, "wait_s", 0, 0, LONGEST_WAIT_S)
        number = await self._desk.submission.submit(user, message, people)
        copy_trouble = await self._keep_copy(user, message)
        now = asyncio.get_running_loop().time()
        fates = await self._watch(user, number, people, now + min(wait_s, LOOK_AFTER_S))
        looks = self._begin_looks(people, fates)
        fates = await self._watch(user, number, people, now + wait_s)
        await self._add_reach(people, fates, looks, now + wait_s)
        return {
            "queue_id": number,
            "recipients": fates,
            "sent_copy": copy_trouble is None,
            "trouble": copy_trouble,
        }

    async def _keep_copy(self, user: str, message: Path) -> str | None:
        """Put a copy into Sent; why not, if it cannot be: the mail itself is on its way already."""
        try:
            box = await open_box(self._desk, user, SENT)
            async with self._large:
                data = await self._desk.in_thread(message.read_bytes)
                self._desk.store.require_room(user, len(data))
                await box.run(box.folder.append, data, "S")
        except MailError as error:
            return error.public_text
        except OSError as error:
            return error.strerror or "the disk failed"
        return None

    async def _watch(
        self, user: str, number: QueueId | None, people: Sequence[Mailbox], until: float
    ) -> list[dict[str, Any]]:
        """What is known of each recipient after the first attempts, or when the wait is over."""
        while True:
            rows = await self._rows(user, number)
            is_open = any(row.state == State.WAITING and row.tries == 0 for row in rows)
            if not is_open or asyncio.get_running_loop().time() >= until:
                break
            await asyncio.sleep(POLL_S)
        fates = [self._fate(one, rows) for one in people]
        if any(fate is None for fate in fates):
            failed = await self._reported(user, number)
            return [
                fate or self._ended(one, failed) for one, fate in zip(people, fates, strict=True)
            ]
        return [fate for fate in fates if fate is not None]

    async def _rows(self, user: str, number: QueueId | None) -> Sequence[Waiting]:
        if number is None:
            return ()
        return await self._desk.queue.list(user, number=number)

    def _ended(self, one: Mailbox, failed: Mapping[Identity, str]) -> dict[str, Any]:
        """What became of a recipient who is in the queue no more."""
        reason = failed.get(mailbox_identity(one))
        state = "delivered" if reason is None else "failed"
        return {**self._describe(one), "state": state, "reason": reason or ""}

    def _fate(self, one: Mailbox, rows: Sequence[Waiting]) -> dict[str, Any] | None:
        """What became of a recipient, as the queue has it; None if he is not in it."""
        told = self._describe(one)
        if told["is_here"]:
            return {**told, "state": "delivered", "reason": "lives here"}
        address, local = parse_domain(one.domain), one.local.lower()
        row = next(
            (
                row
                for row in rows
                if row.address == address and row.recipient.rpartition("@")[0].lower() == local
            ),
            None,
        )
        if row is None:
            return None
        state = "waiting" if row.state == State.WAITING else row.state.name.lower()
        reason = row.reason or ("being tried for the first time" if not row.tries else "")
        return {
            **told,
            "state": state,
            "reason": reason,
            "next_unix": row.next_unix,
            "tries": row.tries,
        }

    def _begin_looks(
        self, people: Sequence[Mailbox], fates: Sequence[dict[str, Any]]
    ) -> set[asyncio.Task[ReachReport]]:
        """Find out whether mail gets there and answers come back, where that is not known."""
        looks = set()
        for one, fate in zip(people, fates, strict=True):
            address = parse_domain(one.domain)
            if address and not fate["is_here"] and self._report(address, fate) is None:
                looks.add(self._desk.reach.begin(address))
        return looks

    async def _add_reach(
        self,
        people: Sequence[Mailbox],
        fates: Sequence[dict[str, Any]],
        looks: set[asyncio.Task[ReachReport]],
        until: float,
    ) -> None:
        """Add what was found of each node, as far as that is known in time."""
        left_s = until - asyncio.get_running_loop().time()
        if looks and left_s > 0:
            await asyncio.wait(looks, timeout=left_s)
        for one, fate in zip(people, fates, strict=True):
            address = parse_domain(one.domain)
            report = self._report(address, fate) if address else None
            fate["reach"] = describe(report, self._desk.book) if report else None

    def _report(self, address: Address, fate: dict[str, Any]) -> ReachReport | None:
        """What is known of a node, unless it is old, or the fate of this mail says otherwise."""
        report = self._desk.reach.reports.get(address)
        is_there = fate["state"] == "delivered"
        return None if is_outdated(report, time.time(), is_delivered=is_there) else report

    async def _reported(self, user: str, number: QueueId | None) -> dict[Identity, str]:
        """Who will not get a mail, and why: what reports in INBOX say that came after it was sent."""
        if number is None:
            return {}
        box: Box = await open_box(self._desk, user, INBOX)
        return await box.run(_read_reports, box.folder, f"<report-{number}-")


def _read_reports(folder: Folder, mark: str) -> dict[Identity, str]:
    """For a thread."""
    found: dict[Identity, str] = {}
    for entry in newest_first(folder)[:_REPORTS_LOOKED_AT]:
        summary = summary_of(folder, entry.uid, INBOX)
        is_ours = summary is not None and summary.remote is None
        if summary is not None and is_ours and summary.message_id.startswith(mark):
            for mailbox, reason in failures_in(folder.read(entry.uid, _REPORT_BYTES) or b""):
                found[mailbox_identity(mailbox)] = reason
    return found


def _accepted(refusal: Refusal | None) -> None:
    if refusal is not None:
        raise MailError(refusal.code, refusal.enhanced, refusal.text)
