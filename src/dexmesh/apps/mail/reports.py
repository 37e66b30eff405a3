"""Tell senders what became of their mails: not delivered, still waiting, handed on.

Place     queue/ says which report is due -> here -> proto/bounces.py writes it -> store
Spec      docs/apps/mail.md §4 "Queue" (bounces are delivered locally, never for `<>`); RFC 3464
Keeps     a report is in the store before the queue forgets it; told twice after a crash it is the same
          message, which the store drops; a mailbox that takes nothing is tried again
Not here  delivering mails (delivery.py), which reports there are (queue/progress.py)
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from typing import Protocol

from dexmesh.apps.base.domains import literal
from dexmesh.apps.base.me import Me
from dexmesh.apps.mail.proto.bounces import (
    MAX_FULL_BYTES,
    Original,
    Report,
    encode_report,
    message_id,
)
from dexmesh.apps.mail.proto.refusals import Refusal
from dexmesh.apps.mail.queue import MailQueue
from dexmesh.apps.mail.queue.reports import MAX_TRIES, PendingReport
from dexmesh.apps.mail.spool import Spool
from dexmesh.apps.mail.store.values import DeliveryResult, Folder, ReceivedMail
from dexmesh.errors import MailError

LONGEST_SLEEP_S = 60.0  # ours

log = logging.getLogger(__name__)


class Store(Protocol):
    """Where reports go (store/)."""

    async def deliver(self, mail: ReceivedMail) -> DeliveryResult:
        """Durable when it returns. Raises MailError."""


class Reports:
    """One per delivery; `run` goes on for ever."""

    def __init__(
        self, me: Me, queue: MailQueue, store: Store, spool: Spool, first_user: str = ""
    ) -> None:
        self._me, self._queue, self._store = me, queue, store
        self._spool, self._first_user = spool, first_user
        self._wake = asyncio.Event()
        self.told = 0

    def wake(self) -> None:
        """A report may be due."""
        self._wake.set()

    async def run(self) -> None:
        """Tell every report when it is due."""
        while True:
            self._wake.clear()
            while (pending := await self._queue.next_report()) is not None:
                await self._tell(pending)
            left_s = await self._queue.seconds_until_report()
            pause_s = LONGEST_SLEEP_S if left_s is None else min(left_s, LONGEST_SLEEP_S)
            try:
                async with asyncio.timeout(max(pause_s, 0.1)):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _tell(self, pending: PendingReport) -> None:
        if pending.concerned and pending.envelope.sender:
            try:
                await self._deliver_to_somebody(pending)
                self.told += 1
            except MailError as error:
                log.warning("a report waits", extra={"reason": error.public_text})
                if await self._queue.put_off_report(pending.number) < MAX_TRIES:
                    return
        await self._queue.finish_report(pending.number)

    async def _deliver_to_somebody(self, pending: PendingReport) -> None:
        """The sender; the postmaster if that user is no more."""
        user = pending.envelope.user or self._first_user
        try:
            await self._deliver(pending, user)
        except MailError as error:
            if error.code < 500 or user == self._first_user:
                raise
            await self._deliver(pending, self._first_user)

    async def _deliver(self, pending: PendingReport, user: str) -> None:
        header, full = await self._queue.text_of(pending, MAX_FULL_BYTES)
        envelope = pending.envelope
        report = Report(
            action=pending.action,
            to=envelope.sender,
            node=self._me.literal,
            remote=literal(pending.remote),
            concerned=pending.concerned,
            original=Original(
                str(envelope.id), header, full, envelope.created_unix, envelope.envelope_id
            ),
            number=pending.number,
            unix_time=pending.created_unix,
        )
        data = encode_report(report)
        file = self._spool.begin()
        try:
            _require(await file.write(data))
            _require(await file.finish())
            await self._store.deliver(
                ReceivedMail(
                    spool=file.path,
                    size=file.size,
                    user=user,
                    folder=Folder.INBOX,
                    message_id=message_id(report),
                    body_hash=hashlib.sha256(data).digest(),
                    wire_size=file.size,
                )
            )
        finally:
            await file.remove()


def _require(refusal: Refusal | None) -> None:
    if refusal is not None:
        raise MailError(refusal.code, refusal.enhanced, refusal.text)
