"""A mail and its answer, with the receiver switched off for a while in between.

Place     cli/demo.py -> here
Spec      docs/apps/mail.md §3 (stock OpenSMTPD on b), §4 "Queue" (it goes out when b comes back)
Keeps     every step waits for what it shows; nothing is shown that did not happen
Not here  what the mail node does (apps/mail)
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable

from dexmesh.cli.demo_node import Node, Say, escaped, has_users, show, timed
from dexmesh.cli.lab import USER, wait_until
from dexmesh.errors import HostError

AWAY_S = 8.5  # TCP itself knocks after 1, 3, 7 and 15 s: what comes at once came by a sign of life
MAIL_WAIT_S = 30.0
SUBJECT = "Hello over the mesh"
TEXT = "No server stands between us.\n"
ANSWER = "None indeed."
_SMTPD = "/usr/sbin/smtpd"


def has_stock_server() -> bool:
    """OpenSMTPD runs as several users: not in a user namespace, which has one."""
    return has_users()


def switch_on(node: Node) -> None:
    """Our mail node on this machine, from the next `dexmesh up` on."""
    node.apps("mail", "on", "--account", USER, "--user", USER, "--config", str(node.config))


def send_and_answer(a: Node, b: Node, say: Say) -> dict[str, object]:
    """The mail from a, which runs our mail node, to b, and back; what was measured."""
    if has_stock_server():
        _start_stock_server(b)
        say("   b runs OpenSMTPD, with the smtpd.conf that `dexmesh setup opensmtpd` printed")
    else:
        a.serve_mail()
        b.serve_mail()
        _wait(lambda: _serves(a) and _serves(b), "the mail services", a, b)
        introduce(b, "alice", a)
    introduce(a, "bob", b)
    b.stop()
    say(
        "   b is switched off. On a: `dexmesh mail send bob`; then `dexmesh mail queue` shows it waiting:"
    )
    a.apps("mail", "send", "bob", SUBJECT, "--wait", "0", "--user", USER, stdin=TEXT)
    time.sleep(AWAY_S)
    show(say, _queue_of(a))
    say(f"   b was off for {AWAY_S:g} s and is switched on again.")
    returned = timed(lambda: _start_and_wait(a, b))
    say(f"   {returned:.1f} s after that the mail is on b:")
    show(say, _received(b))
    answered = timed(lambda: _answer(a, b))
    say(f"   {_answerer()} on b answers; {answered:.1f} s later `dexmesh mail read latest` on a:")
    show(say, a.apps("mail", "read", "latest", "--user", USER))
    return {"mail_after_return_s": round(returned, 2), "mail_answer_s": round(answered, 2)}


def introduce(node: Node, petname: str, other: Node) -> None:
    """Take the person on the other machine into the address book."""
    options = ["--key", other.key, "--no-check", "--no-request"]
    node.apps("contact", "add", petname, other.mailbox, *options)


def _start_and_wait(a: Node, b: Node) -> None:
    b.start()
    _wait(lambda: TEXT in _received(b), "the mail", a, b)


def _answerer() -> str:
    return "s-nail" if has_stock_server() else "`dexmesh mail reply`"


def _serves(node: Node) -> bool:
    return (node.machine.folder / "apps" / "control.sock").exists()


# --- a: our mail node -------------------------------------------------------------------------------


def _queue_of(a: Node) -> str:
    """What `dexmesh mail queue` says. HostError if the mail is not in it."""
    waiting = json.loads(a.apps("mail", "queue", "--json", "--user", USER))["waiting"]
    if len(waiting) != 1:
        raise HostError(f"{len(waiting)} mails wait on a, and it should be one")
    return a.apps("mail", "queue", "--user", USER)


def _answer(a: Node, b: Node) -> None:
    if has_stock_server():
        commands = f"reply 1\n{ANSWER}\n~.\nexit\n"
        reply = ["s-nail", "-#", "-f", f"/var/mail/{USER}"]
        b.machine.run(b.machine.as_person(reply), stdin=commands)
    else:
        b.apps("mail", "reply", "latest", "-m", ANSWER, "--user", USER)
    _wait(lambda: ANSWER in _read_latest(a), "the answer", a, b)


def _read_latest(node: Node) -> str:
    """The newest mail; empty while there is none."""
    listed = json.loads(node.apps("mail", "list", "--json", "--user", USER))
    if not listed["messages"]:
        return ""
    return node.apps("mail", "read", "latest", "--keep-unread", "--user", USER)


# --- b: OpenSMTPD and s-nail, or our mail node as well -------------------------------------------------


def _start_stock_server(b: Node) -> None:
    if shutil.which(_SMTPD) is None:
        raise HostError("OpenSMTPD is missing", "apt-get install opensmtpd")
    config = b.machine.folder / "smtpd.conf"
    b.with_config("setup", "opensmtpd", "--for", "stock", "--write", str(config))
    mailrc = ["--for", "stock", "--user", USER, "--write", f"/home/{USER}/.mailrc"]
    b.with_config("setup", "mailrc", "--program", "s-nail", *mailrc)
    b.machine.start([_SMTPD, "-d", "-f", str(config)], log="smtpd.log")
    wait_until(lambda: _listens(b), 15, "OpenSMTPD on b")


def _listens(node: Node) -> bool:
    return ":25 " in node.machine.run(["ss", "-Hltn"], check=False).stdout


def _received(b: Node) -> str:
    """The mail as it is on b."""
    if has_stock_server():
        return b.machine.run(["cat", f"/var/mail/{USER}"], check=False).stdout
    return _read_latest(b)


def _wait(is_true: Callable[[], bool], what: str, *nodes: Node) -> None:
    try:
        wait_until(is_true, MAIL_WAIT_S, what)
    except HostError as error:
        logs = "\n".join(
            f"{node.machine.name}: {escaped(node.machine.log(name))}"
            for node in nodes
            for name in ("node.log", "smtpd.log", "mail.log")
        )
        raise HostError(f"{error}\n{logs}") from None
