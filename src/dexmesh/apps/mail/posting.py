"""Put a letter that this node writes itself into the way of all mail.

Place     apps/service.py (voicemail, texts that become mails) -> here -> submission.py
Spec      docs/apps/mail.md §4 Submission
Keeps     the letter is on the disk, delivered here or queued, when `post` returns
Not here  letters of people (sending_calls.py), reports about mails (reports.py)
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

from dexmesh.apps.base.me import Me
from dexmesh.apps.mail.proto.letters import Letter, compose
from dexmesh.apps.mail.proto.refusals import Refusal
from dexmesh.apps.mail.spool import Spool
from dexmesh.apps.mail.submission import Submission
from dexmesh.errors import MailError


class Postman:
    """One per worker."""

    def __init__(self, me: Me, spool: Spool, submission: Submission) -> None:
        self._me, self._spool, self._submission = me, spool, submission

    async def post(self, user: str, letter: Letter) -> str:
        """Send a letter for a local user; its Message-ID. Raises MailError."""
        mark = secrets.token_hex(12)
        message_id = f"<{mark}@{self._me.key_name}>"
        now = datetime.now(UTC).astimezone()
        data = compose(letter, date=now, message_id=message_id, boundary=f"={mark}")
        file = self._spool.begin()
        try:
            _accept(await file.write(data))
            _accept(await file.finish())
            await self._submission.submit(user, file.path, letter.to)
        finally:
            await file.remove()
        return message_id


def _accept(refusal: Refusal | None) -> None:
    if refusal is not None:
        raise MailError(refusal.code, refusal.enhanced, refusal.text)
