"""Be the program `sendmail`, and `mailq` and `newaliases`: take a message to the mail service.

Place     mutt, mailx, git, alpine, cron -> here -> submission.py, by SMTP on localhost
Spec      docs/apps/mail.md §4 "Submission"; sysexits.h (exit codes)
Keeps     a message that could not be handed over is in ~/dead.letter, with those who did not get it
Not here  `dexmesh mail send`, which is for people (cli/mail_send.py); who may be written to, and what a
          header needs (proto/submitting.py)
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from dexmesh.apps.base.home import find_home
from dexmesh.apps.base.settings import MailSettings, load_settings
from dexmesh.apps.mail.proto.headers import make_field
from dexmesh.apps.mail.sendmail.dead_letter import keep
from dexmesh.apps.mail.sendmail.exits import (
    EX_DATAERR,
    EX_NOPERM,
    EX_OK,
    EX_TEMPFAIL,
    EX_UNAVAILABLE,
    Trouble,
)
from dexmesh.apps.mail.sendmail.handing_over import CONNECT_S, HOST, first_port, hand_over
from dexmesh.apps.mail.sendmail.message import (
    Letter,
    outgoing,
    parse_letter,
    pieces_of,
    recipients_of,
    take,
)
from dexmesh.apps.mail.sendmail.options import Options, parse_options
from dexmesh.errors import DexmeshError, NoServiceError, PermissionNeededError

MAX_ROWS = 1000  # of the queue, shown at once

_NAMES = {"mailq": "p", "newaliases": "i"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run as sendmail, or as mailq or newaliases where it is called that; the exit code."""
    try:
        options = parse_options(sys.argv[1:] if argv is None else argv)
        return _run(options, _NAMES.get(Path(sys.argv[0]).name, options.mode))
    except Trouble as trouble:
        print(f"sendmail: {trouble}", file=sys.stderr)
        return trouble.code
    except KeyboardInterrupt:
        return EX_TEMPFAIL


def _run(options: Options, mode: str) -> int:
    if mode == "p":
        return _show_queue()
    if mode == "s":
        return _speak_smtp()
    if mode == "i":
        return EX_OK  # there is no table of aliases to build
    if options.flushes and not (options.recipients or options.takes_from_header):
        _command("mail.retry", id="all")
        return EX_OK
    return _send(options)


# --- Send -----------------------------------------------------------------------------------------------


def _send(options: Options) -> int:
    settings = _settings()
    if sys.stdin is None:  # closed by the caller
        raise Trouble(EX_DATAERR, "there is no standard input to read a message from")
    pieces = pieces_of(sys.stdin.buffer, ignores_dots=options.ignores_dots)
    data, beyond = take(pieces, settings.max_message_bytes)
    letter: Letter | None = None
    people: tuple[str, ...] = options.recipients
    try:
        letter = parse_letter(data)
        people = recipients_of(options, letter.header)
        if beyond:
            limit = settings.max_message_bytes
            raise Trouble(EX_DATAERR, f"the message has more than {limit} bytes; nothing was sent")
        hand_over(options, people, outgoing(options, letter), settings.submission_ports)
    except Trouble as trouble:
        kept = keep(_whole(data, letter, chain([beyond], pieces), trouble.left or people))
        raise Trouble(trouble.code, f"{trouble}; {kept}") from None
    return EX_OK


def _whole(
    data: bytes, letter: Letter | None, rest: Iterable[bytes], people: Sequence[str]
) -> Iterator[bytes]:
    """The message as it is kept: with whom it was for, with what was too much, with its Bcc."""
    envelope = [make_field("X-Envelope-To", ",\r\n\t".join(people))] if people else []
    if letter is None:
        yield from (*envelope, data)
    else:
        yield letter.rendered([*envelope, *letter.header.fields])
    yield from rest


def _settings() -> MailSettings:
    """What the service is set to; the usual where we may not read it."""
    try:
        return load_settings(find_home()).mail
    except DexmeshError:
        return MailSettings()


# --- mailq, and SMTP on standard input ----------------------------------------------------------------


def _command(call: str, **arguments: Any) -> dict[str, Any]:
    """Ask the running service; root asks for everybody."""
    from dexmesh.apps.base.control import ControlClient

    try:
        with ControlClient(find_home().control_socket) as client:
            return client.call(call, everybody=os.geteuid() == 0, **arguments)
    except DexmeshError as error:
        code = EX_UNAVAILABLE if isinstance(error, NoServiceError) else EX_TEMPFAIL
        code = EX_NOPERM if isinstance(error, PermissionNeededError) else code
        raise Trouble(code, f"{error}; {error.hint}" if error.hint else str(error)) from None


def _show_queue() -> int:
    rows = _command("mail.queue", limit=MAX_ROWS)["waiting"]
    print("\n".join(queue_lines(rows)))
    return EX_OK


def queue_lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The queue as mailq shows it: a line for each mail, below it why and for whom it waits."""
    if not rows:
        return ["Mail queue is empty"]
    mails: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        mails.setdefault(row["id"], []).append(row)
    lines = ["-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------"]
    for number, group in mails.items():
        first = group[0]
        when = time.strftime("%a %b %d %H:%M:%S", time.localtime(first["since_unix"]))
        lines.append(f"{number:<10} {first['size']:>9} {when:<20} {first['from'] or '<>'}")
        for row in group:
            lines += [f"{'':8}({row['reason']})"] * bool(row["reason"])
            lines.append(f"{'':42}{row['to']}")
        lines.append("")
    kbytes = sum(group[0]["size"] for group in mails.values()) // 1024
    lines.append(f"-- {kbytes} Kbytes in {len(mails)} Request{'s' * (len(mails) != 1)}.")
    return ["".join(char if char.isprintable() else "?" for char in line) for line in lines]


def _speak_smtp() -> int:
    """-bs: the caller speaks SMTP on standard input; every byte goes through as it is."""
    ports = _settings().submission_ports
    link = first_port(ports, lambda port: socket.create_connection((HOST, port), CONNECT_S))
    link.settimeout(None)  # the server ends what is idle
    threading.Thread(target=_pass_on, args=(sys.stdin.fileno(), link), daemon=True).start()
    try:
        while data := link.recv(1 << 16):
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
    except OSError as error:
        raise Trouble(EX_TEMPFAIL, f"the conversation broke off ({error.strerror})") from None
    return EX_OK


def _pass_on(descriptor: int, link: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := os.read(descriptor, 1 << 16):
            link.sendall(data)
        link.shutdown(socket.SHUT_WR)
