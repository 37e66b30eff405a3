"""What the mail commands have in common: which mail is meant, and how it is told.

Place     cli/mail_read.py, mail_send.py, mail_people.py, mail_queue.py -> here -> control socket
Spec      docs/apps/mail.md §4 "Reading"; ours: docs/apps/mail-control.md
Keeps     what strangers wrote is made harmless by cli/output.py; nothing heavy is imported with this
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from dexmesh.apps.base.control import ControlClient

FolderOption = Annotated[
    str, typer.Option("--folder", "-f", help="INBOX, Requests, Sent, Drafts, Trash, or your own.")
]
NumberArgument = Annotated[
    str, typer.Argument(metavar="N", help="A number of `list`, like 17 or Requests/3; or latest.")
]

_OWN_STATUS = re.compile(
    r"\A[245]\.\d{1,3}\.\d{1,3} "
)  # what a server said begins with its reply code

NUMBERS = (
    "N is the number `list` shows: IMAP's UID. It stays with its message for ever, the newest message has "
    "the highest; outside of INBOX the folder stands in front (Requests/3). `latest` is the newest."
)


def fetch(
    service: ControlClient, number: str, folder: str, *, marks_seen: bool
) -> tuple[dict[str, Any], bytes]:
    """A message: what a list says of it, and its bytes."""
    from dexmesh.errors import AppError

    row: dict[str, Any] = {}
    pieces: list[bytes] = []
    for item in service.stream("mail.fetch", id=number, folder=folder, mark_seen=marks_seen):
        if "message" in item:
            row = item["message"]
        else:
            try:
                pieces.append(base64.b64decode(str(item.get("data", ""))))
            except binascii.Error:
                raise AppError("the service does not speak our language") from None
    return row, b"".join(pieces)


def who_wrote(row: dict[str, Any]) -> str:
    """The sender in a word: petname, name or address; marked if his node did not send it."""
    name = row["petname"] or row["from_name"] or row["from_address"] or row["from"] or "nobody"
    return f"{name} (?)" if row["is_from_other"] else str(name)


def plain_reason(reason: str) -> str:
    """Why mail waits, in words: without the status code that stands before a finding of our own."""
    return _OWN_STATUS.sub("", reason)
