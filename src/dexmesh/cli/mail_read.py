"""`dexmesh mail list | read | folders | move | delete`: read mail in the terminal.

Place     cli/mail.py -> here -> control socket (mail.list, fetch, ...), apps/mail/reading.py
Spec      docs/apps/mail.md §4 "Reading"
Keeps     nothing a sender wrote steers the terminal, names a path or is followed as a link; it is said
          when a mail did not come from the node its From line names
Not here  writing (cli/mail_send.py), strangers (cli/mail_people.py)
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dexmesh.cli.mail import app
from dexmesh.cli.mail_words import NUMBERS, FolderOption, NumberArgument, fetch, who_wrote
from dexmesh.cli.output import (
    example,
    note,
    print_json,
    print_table,
    printable,
    reports_errors,
    say,
)
from dexmesh.cli.places import JsonOption, seconds
from dexmesh.cli.service import HomeOption, UserOption, service_of
from dexmesh.cli.words import size_in_words, when

if TYPE_CHECKING:
    from dexmesh.apps.mail.reading import Attachment, ReadableMail

_EXTRA_WAIT_S = 20.0
_MOST_SAME_NAMES = 1000


@app.command("list", epilog=example(f"dexmesh mail list --unread --wait 60\n\n{NUMBERS}"))
@reports_errors
def list_mail(
    folder: FolderOption = "INBOX",
    unread: Annotated[bool, typer.Option("--unread", help="Only what nobody has read.")] = False,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, max=1000, help="How many, the newest first.")
    ] = 20,
    wait: Annotated[
        float,
        typer.Option(
            "--wait",
            min=0,
            max=280,
            callback=seconds,
            help="Seconds to wait while there is nothing to show.",
        ),
    ] = 0,
    user: UserOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the newest messages of a folder."""
    with service_of(home, user, wait + _EXTRA_WAIT_S) as service:
        told = service.call("mail.list", folder=folder, unread=unread, limit=limit, wait_s=wait)
    if as_json:
        print_json(told)
        return
    rows = told["messages"]
    if rows:
        columns = ("", "N", "from", "subject", "when", "size")
        print_table(columns, [_row(one) for one in rows], ("from", "subject"))
    _say_rest(told, unread)


def _row(one: dict[str, Any]) -> list[str]:
    marks = (
        "N"
        if one["is_unread"]
        else "".join(
            letter
            for letter, name in (("r", "is_answered"), ("f", "is_forwarded"), ("!", "is_flagged"))
            if one[name]
        )
    )
    is_own = one["folder"] in ("Sent", "Drafts")
    other = ", ".join(one["to_names"]) or one["to"] if is_own else who_wrote(one)
    subject = one["subject"] or "(no subject)"
    return [marks, one["id"], other, subject, when(one["unix_time"]), size_in_words(one["size"])]


def _say_rest(told: dict[str, Any], unread: bool) -> None:
    shown, total = len(told["messages"]), told["total"]
    if not shown:
        note(f"nothing {'unread ' if unread else ''}in {told['folder']}")
    elif not unread and total > shown:
        note(f"{total - shown} older ones are not shown: --limit shows more")
    if told["requests"]:
        count = told["requests"]
        mails = "1 mail of a stranger waits" if count == 1 else f"{count} mails of strangers wait"
        note(f"{mails}: `dexmesh mail requests`")


@app.command(epilog=example(f"dexmesh mail read latest\n\n{NUMBERS}"))
@reports_errors
def read(
    number: NumberArgument = "latest",
    folder: FolderOption = "INBOX",
    raw: Annotated[
        bool, typer.Option("--raw", help="The message as it is, headers and all.")
    ] = False,
    save_attachments: Annotated[
        Path | None,
        typer.Option(
            "--save-attachments", metavar="DIR", help="Put what is attached into this folder."
        ),
    ] = None,
    keep_unread: Annotated[
        bool, typer.Option("--keep-unread", help="Do not mark it as read.")
    ] = False,
    user: UserOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a message: who wrote, the text, what is attached."""
    with service_of(home, user) as service:
        row, data = fetch(service, number, folder, marks_seen=not keep_unread)
    if raw and not as_json:
        _print_raw(data)
        return
    from dexmesh.apps.mail.reading import read_mail

    mail = read_mail(data)
    saved = _save(mail, data, save_attachments) if save_attachments else []
    if as_json:
        print_json(_described(row, mail, saved) | ({"raw": data.decode("latin-1")} if raw else {}))
        return
    _show(row, mail)
    for place in saved:
        note(f"saved {place}")


def _print_raw(data: bytes) -> None:
    if sys.stdout.isatty():  # a program gets every byte, a terminal nothing that steers it
        sys.stdout.write(printable(data.decode("utf-8", "replace").replace("\r\n", "\n")))
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(data)


def _described(row: dict[str, Any], mail: ReadableMail, saved: list[Path]) -> dict[str, Any]:
    return {
        **row,
        "cc": mail.cc_text,
        "reply_to": mail.reply_to,
        "references": list(mail.references),
        "text": mail.text,
        "attachments": [
            {"name": one.name, "media": one.media, "size": one.size} for one in mail.attachments
        ],
        "saved": [str(place) for place in saved],
    }


def _show(row: dict[str, Any], mail: ReadableMail) -> None:
    from dexmesh.apps.mail.proto.parts import decode_words

    sender = decode_words(mail.from_text) or "nobody"
    shown = f"{row['petname']}: {sender}" if row["petname"] else sender
    lines = [
        ("From", shown),
        ("To", decode_words(mail.to_text)),
        ("Cc", decode_words(mail.cc_text)),
    ]
    lines += [
        ("Reply-To", decode_words(mail.reply_to)),
        ("Date", mail.date),
        ("Subject", mail.subject),
    ]
    for name, value in lines:
        if value:
            say(f"{name + ':':<10}{' '.join(value.split())}")
    if row["is_from_other"]:
        node = row["remote_petname"] or row["remote"] or "another node"
        note(f"warning: From differs from the sending node: {node} sent this, whatever From says")
    say("")
    say(mail.text.rstrip("\n") if mail.text.strip() else "(no text)")
    if mail.attachments:
        say("")
        rows = [
            [f"[{one.number}]", one.name, one.media, size_in_words(one.size)]
            for one in mail.attachments
        ]
        print_table(("attached", "name", "kind", "size"), rows, ("name", "kind"))
        note(f"`dexmesh mail read {row['id']} --save-attachments DIR` saves them")


def _save(mail: ReadableMail, data: bytes, folder: Path) -> list[Path]:
    from dexmesh.apps.mail.reading import attached_bytes

    folder.mkdir(parents=True, exist_ok=True)
    return [_save_one(folder, one, attached_bytes(data, one.part)) for one in mail.attachments]


def _save_one(folder: Path, one: Attachment, content: bytes) -> Path:
    """A new file; what is there already stays as it is."""
    stem, dot, suffix = one.name.rpartition(".")
    for count in range(1, _MOST_SAME_NAMES):
        numbered = f"{stem}-{count}.{suffix}" if dot else f"{one.name}-{count}"
        name = one.name if count == 1 else numbered
        try:
            with (folder / name).open("xb") as file:
                file.write(content)
        except FileExistsError:
            continue
        return folder / name
    raise FileExistsError(f"{folder} is full of files called {one.name}")


@app.command(epilog=example("dexmesh mail folders"))
@reports_errors
def folders(user: UserOption = None, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show the folders and how much is in them."""
    with service_of(home, user) as service:
        told = service.call("mail.folders")
    if as_json:
        print_json(told)
        return
    rows = [[one["folder"], str(one["messages"]), str(one["unread"])] for one in told["folders"]]
    print_table(("folder", "messages", "unread"), rows)


NumbersArgument = Annotated[
    list[str], typer.Argument(metavar="N...", help="Numbers of `list`; or latest.")
]


@app.command(epilog=example(f"dexmesh mail move 17 Trash\n\n{NUMBERS}"))
@reports_errors
def move(
    number: NumberArgument,
    target: Annotated[str, typer.Argument(metavar="FOLDER", help="Where to.")],
    folder: FolderOption = "INBOX",
    user: UserOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put a message into another folder."""
    with service_of(home, user) as service:
        told = service.call("mail.move", id=number, folder=folder, to=target)
    if as_json:
        print_json(told)
    else:
        say(f"it is {told['id']} now")


@app.command(epilog=example(f"dexmesh mail delete 17 18\n\n{NUMBERS}"))
@reports_errors
def delete(
    numbers: NumbersArgument,
    folder: FolderOption = "INBOX",
    for_good: Annotated[
        bool, typer.Option("--for-good", help="Not into Trash: gone at once.")
    ] = False,
    user: UserOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Move messages to Trash; from Trash they are gone for good."""
    done = []
    with service_of(home, user) as service:
        for number in numbers:
            told = service.call("mail.delete", id=number, folder=folder, for_good=for_good)
            done.append(told)
            if not as_json:  # at once: the next may not be there
                say(f"{number} is {told['id']} now" if told["id"] else f"{number} is gone")
    if as_json:
        print_json({"deleted": done})
