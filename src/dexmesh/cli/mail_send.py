"""`dexmesh mail send | reply | forward`: write mail in the terminal.

Place     cli/mail.py -> here -> apps/mail/proto/letters.py; control socket (mail.resolve, upload, submit)
Spec      docs/apps/mail.md §1 (recipients), §4 "Submission"
Keeps     nothing is sent before every recipient is clear and the whole text is there; it is said what
          became of it
Not here  where text comes from (cli/mail_text.py)
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dexmesh.cli.mail import app
from dexmesh.cli.mail_text import read_text
from dexmesh.cli.mail_words import NUMBERS, FolderOption, NumberArgument, fetch, plain_reason
from dexmesh.cli.output import (
    Exit,
    example,
    fail,
    misused,
    note,
    print_json,
    reports_errors,
    say,
)
from dexmesh.cli.places import JsonOption, seconds
from dexmesh.cli.service import HomeOption, UserOption, service_of
from dexmesh.cli.words import ago, size_in_words

if TYPE_CHECKING:
    from dexmesh.apps.base.control import ControlClient
    from dexmesh.apps.base.mailbox import Mailbox
    from dexmesh.apps.mail.proto.letters import Attached, Letter
    from dexmesh.apps.mail.reading import ReadableMail

_PIECE_BYTES = 384 << 10
_FIRST_TRY_S = 4.0  # how long to wait for the first attempt

MessageOption = Annotated[
    str | None, typer.Option("--message", "-m", help="The text (default: standard input).")
]
EditOption = Annotated[bool, typer.Option("--edit", "-e", help="Write the text in $EDITOR.")]
AttachOption = Annotated[
    list[Path] | None,
    typer.Option("--attach", "-a", metavar="FILE", help="A file to send along; may be repeated."),
]
CcOption = Annotated[
    list[str] | None, typer.Option("--cc", help="Who gets a copy; may be repeated.")
]
WaitOption = Annotated[
    float,
    typer.Option(
        "--wait", min=0, max=50, callback=seconds, help="Seconds to wait for the first attempt."
    ),
]


@app.command(epilog=example('dexmesh mail send stuart "see you at eight?"'))
@reports_errors
def send(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="TO... SUBJECT",
            help="Petnames or addresses (name@[IPv6:fc..], name@<key>.k), then the subject.",
        ),
    ],
    subject: Annotated[
        str | None, typer.Option("--subject", "-s", help="The subject; then all words are people.")
    ] = None,
    message: MessageOption = None,
    edit: EditOption = False,
    attach: AttachOption = None,
    cc: CcOption = None,
    wait: WaitOption = _FIRST_TRY_S,
    user: UserOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send a mail. Type the text and end it with Ctrl-D or a single dot, or pipe it in."""
    to, title = _people_and_subject(words, subject)
    with service_of(home, user) as service:
        files = _read_files(service, attach or ())
        people, copies = _resolve(service, to, cc or ())
        text = read_text(message, edit, "")
        letter = _letter(service, people, copies, title, text, files)
        told = _submit(service, letter, wait)
    _report(told, as_json)


def _people_and_subject(words: Sequence[str], subject: str | None) -> tuple[list[str], str]:
    if subject is not None:
        return list(words), subject
    if len(words) < 2:
        misused("the subject is missing", f'dexmesh mail send {words[0]} "what it is about"')
    return list(words[:-1]), words[-1]


@app.command(epilog=example(f'dexmesh mail reply latest -m "yes"\n\n{NUMBERS}'))
@reports_errors
def reply(
    number: NumberArgument,
    everybody: Annotated[
        bool, typer.Option("--all", help="Also to the others who got the mail.")
    ] = False,
    message: MessageOption = None,
    edit: EditOption = False,
    attach: AttachOption = None,
    quote: Annotated[
        bool, typer.Option("--quote/--no-quote", help="Put the text that is answered in front.")
    ] = True,
    wait: WaitOption = _FIRST_TRY_S,
    folder: FolderOption = "INBOX",
    user: UserOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Answer a mail."""
    with service_of(home, user) as service:
        files = _read_files(service, attach or ())
        row, mail = _open(service, number, folder)
        own = str(service.call("mail.whoami")["address"])
        to, others = _answered(mail, everybody)
        if row["is_from_other"]:
            note(
                f"warning: {row['remote'] or 'another node'} sent this, the answer goes to {', '.join(to)}"
            )
        people, copies = _resolve(service, to, others)
        copies = [one for one in copies if not _is_own(one, own)]
        quoted = _quoted(row, mail) if quote else ""
        text = read_text(message, edit, quoted)
        references = (*mail.references, mail.message_id) if mail.message_id else mail.references
        title = _prefixed("Re:", mail.subject)
        letter = _letter(service, people, copies, title, text, files, references)
        told = _submit(service, letter, wait)
        service.call("mail.mark", id=row["id"], add=["seen", "answered"])
    _report(told, as_json)


@app.command(epilog=example(f"dexmesh mail forward 17 stuart\n\n{NUMBERS}"))
@reports_errors
def forward(
    number: NumberArgument,
    to: Annotated[list[str], typer.Argument(metavar="TO...", help="Petnames or addresses.")],
    message: MessageOption = None,
    edit: EditOption = False,
    wait: WaitOption = _FIRST_TRY_S,
    folder: FolderOption = "INBOX",
    user: UserOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send a mail on to somebody else, with all that is attached."""
    with service_of(home, user) as service:
        row, data = fetch(service, number, folder, marks_seen=True)
        people, _ = _resolve(service, to, ())
        mail, files = _taken_apart(data)
        text = read_text(message or "", edit, _forwarded(mail))
        letter = _letter(service, people, (), _prefixed("Fwd:", mail.subject), text, files)
        told = _submit(service, letter, wait)
        service.call("mail.mark", id=row["id"], add=["forwarded"])
    _report(told, as_json)


# --- The mail that is answered or forwarded ---------------------------------------------------------


def _open(service: ControlClient, number: str, folder: str) -> tuple[dict[str, Any], ReadableMail]:
    from dexmesh.apps.mail.reading import read_mail

    row, data = fetch(service, number, folder, marks_seen=True)
    return row, read_mail(data)


def _answered(mail: ReadableMail, everybody: bool) -> tuple[list[str], list[str]]:
    """Who gets the answer, and who a copy."""
    from dexmesh.apps.base.mailbox import Mailbox, readable_mailboxes

    def plain(text: str) -> list[str]:
        return [str(Mailbox(one.local, one.domain)) for one in readable_mailboxes(text)]

    to = plain(mail.reply_to) or plain(mail.from_text)
    if not to:
        misused("this mail does not say who wrote it", "`dexmesh mail send` writes a new one")
    others = plain(mail.to_text) + plain(mail.cc_text) if everybody else []
    return to, [one for one in others if one not in to]


def _is_own(mailbox: Mailbox, own: str) -> bool:
    from dexmesh.apps.base.mailbox import parse_mailbox
    from dexmesh.apps.contacts.contact import mailbox_identity

    return mailbox_identity(mailbox) == mailbox_identity(parse_mailbox(own))


def _quoted(row: dict[str, Any], mail: ReadableMail) -> str:
    from dexmesh.apps.mail.proto.parts import decode_words

    writer = row["petname"] or row["from_name"] or decode_words(mail.from_text)
    lines = "".join(f"> {line}".rstrip() + "\n" for line in mail.text.splitlines())
    date = f"On {mail.date}, " if mail.date else ""
    return f"{date}{writer} wrote:\n{lines}\n"


def _forwarded(mail: ReadableMail) -> str:
    from dexmesh.apps.mail.proto.parts import decode_words

    head = "".join(
        f"{name}: {' '.join(decode_words(value).split())}\n"
        for name, value in (
            ("From", mail.from_text),
            ("Date", mail.date),
            ("Subject", mail.subject),
            ("To", mail.to_text),
        )
        if value
    )
    return f"---------- Forwarded message ----------\n{head}\n{mail.text}"


def _taken_apart(data: bytes) -> tuple[ReadableMail, list[Attached]]:
    from dexmesh.apps.mail.proto.letters import Attached
    from dexmesh.apps.mail.reading import attached_bytes, read_mail

    mail = read_mail(data)
    files = [
        Attached(one.name, one.media, attached_bytes(data, one.part)) for one in mail.attachments
    ]
    return mail, files


def _prefixed(prefix: str, subject: str) -> str:
    return subject if subject.lower().startswith(prefix.lower()) else f"{prefix} {subject}".strip()


# --- Sending ------------------------------------------------------------------------------------------


def _resolve(
    service: ControlClient, to: Sequence[str], cc: Sequence[str]
) -> tuple[list[Mailbox], list[Mailbox]]:
    """The mailboxes that are meant; ends with a hint if one is not clear."""
    from dexmesh.apps.base.mailbox import Mailbox, parse_mailbox

    answers = service.call("mail.resolve", to=[*to, *cc])["to"]
    found = []
    for answer in answers:
        if "error" in answer:
            misused(answer["error"], answer["hint"])
        plain = parse_mailbox(answer["mailbox"])
        found.append(Mailbox(plain.local, plain.domain, str(answer["name"])))
    return found[: len(to)], found[len(to) :]


def _read_files(service: ControlClient, paths: Sequence[Path]) -> list[Attached]:
    """The files to be attached; ends before reading any where they cannot fit."""
    import mimetypes

    from dexmesh.apps.mail.proto.letters import Attached

    most = int(service.call("mail.whoami")["max_message_bytes"]) if paths else 0
    size = sum(path.stat().st_size for path in paths)
    if size > (room := most * 3 // 4):
        fail(
            f"the files have {size_in_words(size)}: that is too much for a mail",
            f"{size_in_words(room)} fit into one; a link to them, or several mails, may do",
        )
    files = []
    for path in paths:
        media = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        files.append(Attached(path.name, media, path.read_bytes()))
    return files


def _letter(
    service: ControlClient,
    people: Sequence[Mailbox],
    copies: Sequence[Mailbox],
    subject: str,
    text: str,
    files: Sequence[Attached],
    references: Sequence[str] = (),
) -> Letter:
    from dexmesh.apps.base.mailbox import Mailbox, parse_mailbox
    from dexmesh.apps.mail.proto.letters import Letter
    from dexmesh.cli.contact_service import full_name_of

    own = parse_mailbox(str(service.call("mail.whoami")["address"]))
    return Letter(
        sender=Mailbox(own.local, own.domain, full_name_of(own.local)),
        to=tuple(people),
        cc=tuple(copies),
        subject=subject,
        text=text,
        attached=tuple(files),
        references=tuple(references),
    )


def _submit(service: ControlClient, letter: Letter, wait_s: float) -> dict[str, Any]:
    """Hand the letter over in pieces, and hear what becomes of it."""
    import secrets
    from datetime import UTC, datetime

    from dexmesh.apps.mail.proto.letters import compose

    mark = secrets.token_hex(12)
    data = compose(
        letter,
        date=datetime.now(UTC).astimezone(),
        message_id=f"<{mark}@{letter.sender.domain.strip('[]').replace(':', '-')}>",
        boundary=f"={mark}",
    )
    token = ""
    for start in range(0, len(data), _PIECE_BYTES):
        piece = base64.b64encode(data[start : start + _PIECE_BYTES]).decode()
        token = service.call("mail.upload", upload=token, data=piece)["upload"]
    to = [f"{one.local}@{one.domain}" if not one.name else one.formatted() for one in _all(letter)]
    return service.call("mail.submit", upload=token, to=to, wait_s=wait_s)


def _all(letter: Letter) -> list[Mailbox]:
    return [*letter.to, *letter.cc]


def _report(told: dict[str, Any], as_json: bool) -> None:
    fates = told["recipients"]
    has_failed = any(one["state"] == "failed" for one in fates)
    if as_json:
        print_json(told)
    else:
        for one in fates:
            _say_fate(one, told["queue_id"])
        if told["trouble"]:
            note(f"warning: there is no copy in Sent: {told['trouble']}")
    if has_failed:
        raise SystemExit(int(Exit.FAILED))


def _say_fate(one: dict[str, Any], number: int | None) -> None:
    name = one["petname"] or one["mailbox"]
    reason = plain_reason(one["reason"])
    if one["state"] == "delivered":
        say(f"delivered to {name}")
    elif one["state"] == "failed":
        say(f"not delivered to {name}: {reason or 'the report in INBOX says why'}")
    else:
        say(f"waiting for {name}: {reason or 'not tried yet'}")
        following = ago(one["next_unix"]) if one.get("next_unix") else ""
        if following and not following.endswith("ago"):
            note(
                f"  tried again {following}, and as soon as that node shows itself (`mail queue`: {number})"
            )
    for sentence in _reach(one):
        note(f"  {sentence}")


def _reach(one: dict[str, Any]) -> list[str]:
    """What is known of the way there and back: all of it while mail waits, else what stops an answer."""
    report = one["reach"]
    if report is None or one["state"] == "failed":
        return []
    there, *back = report["sentences"]
    if one["state"] == "delivered":
        return back if report["is_one_way"] else []
    return [there, *back]
