"""Hand a message over to the mail service of this machine, by SMTP.

Place     program.py -> here -> submission.py on localhost
Spec      docs/apps/mail.md §4 "Submission"; RFC 5321, RFC 3461 (-N, -R)
Keeps     done means that the service has it for everybody; who has not got it is named; nothing is
          looked up
Not here  what is kept where that fails (dead_letter.py)
"""

from __future__ import annotations

import contextlib
import smtplib
import socket
from collections.abc import Callable, Sequence
from typing import TypeVar

from dexmesh.apps.mail.sendmail.exits import (
    EX_DATAERR,
    EX_NOPERM,
    EX_NOUSER,
    EX_TEMPFAIL,
    Trouble,
)
from dexmesh.apps.mail.sendmail.message import login_name
from dexmesh.apps.mail.sendmail.options import Options
from dexmesh.values import dataclass

HOST = "127.0.0.1"
CONNECT_S = 60.0  # ours: until the service greets
PARTING_S = 5.0  # ours
PATIENCE_S = 600.0  # RFC 5321 §4.5.3.2.6: how long a client waits for the answer to a message
MAX_RECIPIENTS = 100  # mail.md §4: more go in several transactions

_Link = TypeVar("_Link")


def hand_over(
    options: Options, people: tuple[str, ...], message: bytes, ports: Sequence[int]
) -> None:
    """Raises Trouble unless the service took the message for everybody."""
    begun, refused = 0, list[Refused]()
    try:
        server = first_port(ports, lambda port: smtplib.SMTP(HOST, port, "localhost", CONNECT_S))
        try:
            _require_socket(server).settimeout(PATIENCE_S)
            server.ehlo_or_helo_if_needed()
            for at in range(0, len(people), MAX_RECIPIENTS):
                batch = people[at : at + MAX_RECIPIENTS]
                refused += _transact(server, options, batch, message)
                begun = at + len(batch)
            with contextlib.suppress(OSError):  # the mail is safe, however the parting goes
                _require_socket(server).settimeout(PARTING_S)
                server.docmd("QUIT")
        finally:
            server.close()
    except OSError as error:  # what smtplib raises is one, too
        why = Trouble(EX_TEMPFAIL, f"the mail service ended the conversation ({error})")
        raise _for_the_rest(why, people, begun, refused) from None
    except Trouble as why:
        raise _for_the_rest(why, people, begun, refused) from None
    if refused:
        code = EX_NOUSER if any(one.code >= 500 for one in refused) else EX_TEMPFAIL
        said = "; ".join(map(str, refused))
        raise _for_the_rest(Trouble(code, said), people, begun, refused)


def _for_the_rest(
    why: Trouble, people: tuple[str, ...], begun: int, refused: Sequence[Refused]
) -> Trouble:
    """The same trouble, with those who get nothing: whom the service refused, or was not asked about."""
    left = (*(one.who for one in refused), *people[begun:])
    taken = len(people) - len(left)
    text = f"{why}; {taken} of {len(people)} recipients will get it" if taken else str(why)
    return Trouble(why.code, text, left)


@dataclass(frozen=True, slots=True)
class Refused:
    """A recipient the service does not take, and what it said."""

    who: str
    code: int
    said: str

    def __str__(self) -> str:
        return f"{self.who}: {self.said}"


def _transact(
    server: smtplib.SMTP, options: Options, people: Sequence[str], message: bytes
) -> list[Refused]:
    """One mail; who of the people was refused. Addresses go as they are: smtplib would parse them."""
    sender = login_name() if options.sender is None else options.sender
    names_utf8 = not all(one.isascii() for one in (sender, *people))
    server.command_encoding = "utf-8" if names_utf8 else "ascii"
    code, said = server.docmd(
        "MAIL", f"FROM:<{sender}>{_mail_words(server, options, message, names_utf8)}"
    )
    if code != 250:
        raise _refusal(code, said, EX_NOPERM)
    notify = f" NOTIFY={options.notify}" if options.notify and server.has_extn("dsn") else ""
    refused = []
    for who in people:
        code, said = server.docmd("RCPT", f"TO:<{who}>{notify}")
        if code not in (250, 251):
            refused.append(Refused(who, code, _shown(code, said)))
    if len(refused) == len(people):
        server.docmd("RSET")
        return refused
    try:
        code, said = server.data(message)
    except smtplib.SMTPDataError as error:
        code, said = error.smtp_code, _bytes(error.smtp_error)
    if code != 250:
        raise _refusal(code, said, EX_DATAERR)
    return refused


def _mail_words(server: smtplib.SMTP, options: Options, message: bytes, names_utf8: bool) -> str:
    wanted = {
        "size": f" SIZE={len(message)}",
        "8bitmime": "" if message.isascii() else " BODY=8BITMIME",
        "smtputf8": " SMTPUTF8" if names_utf8 else "",
        "dsn": f" RET={options.returned}" if options.returned else "",
    }
    return "".join(word for name, word in wanted.items() if server.has_extn(name))


def _refusal(code: int, said: bytes, permanent: int) -> Trouble:
    return Trouble(permanent if code >= 500 else EX_TEMPFAIL, _shown(code, said))


def _shown(code: int, said: bytes) -> str:
    text = said.decode("utf-8", "replace")[:400]
    return f"{code} {''.join(char if char.isprintable() else ' ' for char in text)}"


def _bytes(text: bytes | str) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


def _require_socket(server: smtplib.SMTP) -> socket.socket:
    if server.sock is None:
        raise ConnectionResetError("closed")
    return server.sock


def first_port(ports: Sequence[int], connect: Callable[[int], _Link]) -> _Link:
    """A connection to the first submission port that answers, the one for mail programs (587) first."""
    tried = sorted({port for port in ports if port}, reverse=True)
    why = "no submission port is configured"
    for port in tried:
        try:
            return connect(port)
        except OSError as error:
            why = str(error)
    places = " and ".join(map(str, tried))
    what = f"no mail service answers on {HOST}, port {places} ({why})"
    todo = "`dexmesh mail on` switches it on, `dexmesh up` starts it"
    raise Trouble(EX_TEMPFAIL, f"{what}: {todo}")
