"""What the mail commands have in common: how they reach the service, and how they say things.

Place     cli/mail_read.py, mail_send.py, mail_people.py, mail_queue.py -> here -> control socket
Spec      docs/apps/mail.md §4 "Reading"; ours: docs/apps/mail-control.md
Keeps     what strangers wrote is made harmless by cli/output.py; nothing heavy is imported with this
"""

from __future__ import annotations

import base64
import binascii
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dexmesh.cli.mail_service import HomeOption as HomeOption

if TYPE_CHECKING:
    from dexmesh.apps.base.control import ControlClient

UserOption = Annotated[
    str | None,
    typer.Option("--user", "-u", help="Whose mail (for root and the owner of the service)."),
]
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


def service_of(home: Path | None, user: str | None, patience_s: float = 60.0) -> ControlClient:
    """A connection to the running service."""
    from dexmesh.apps.base.control import ControlClient
    from dexmesh.apps.base.home import find_home

    return ControlClient(find_home(home).control_socket, user, patience_s)


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


def when(unix_time: float) -> str:
    """A moment as people write it in lists: the hour today, the day this year, else the date."""
    moment, now = time.localtime(unix_time), time.localtime()
    if (moment.tm_year, moment.tm_yday) == (now.tm_year, now.tm_yday):
        return time.strftime("%H:%M", moment)
    if moment.tm_year == now.tm_year:
        return time.strftime("%d %b", moment)
    return time.strftime("%Y-%m-%d", moment)


def ago(unix_time: float) -> str:
    """How long ago, or how soon."""
    seconds = time.time() - unix_time
    length = duration(abs(seconds))
    return f"{length} ago" if seconds >= 0 else f"in {length}"


def duration(seconds: float) -> str:
    """A length of time in one unit."""
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def plain_reason(reason: str) -> str:
    """Why mail waits, in words: without the status code that stands before a finding of our own."""
    return _OWN_STATUS.sub("", reason)


def size_in_words(count: int) -> str:
    """A number of bytes in one unit."""
    for unit, size in (("MB", 1 << 20), ("kB", 1 << 10)):
        if count >= size:
            return (
                f"{count / size:.0f} {unit}" if count >= 10 * size else f"{count / size:.1f} {unit}"
            )
    return f"{count} B"
