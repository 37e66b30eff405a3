"""Mail for a node that is off: it waits, and leaves when the node shows itself.

a (node, mail) ---- b (node, mail)              a link between them
a (node, mail) ---- r (node) ---- b (node, mail)    a node between them
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dexmesh.cli.lab import USER, wait_until
from dexmesh.errors import HostError
from tests.netns.conftest import RunningNode, World

pytestmark = pytest.mark.netns

DEXMESH = [sys.executable, "-m", "dexmesh"]
LIMIT_S = 5.0  # the issue: any sign of life -> flushed
OFF_S = 22

_SUBMIT = """
import smtplib, sys
sender, rcpt, first, count, size = *sys.argv[1:3], *map(int, sys.argv[3:])
body = "hello" if size == 5 else ("x" * 78 + "\\r\\n") * (size // 80)
with smtplib.SMTP("127.0.0.1", 25, local_hostname="here", timeout=20) as smtp:
    for number in range(first, first + count):
        text = f"From: {sender}\\r\\nTo: {rcpt}\\r\\nSubject: mail {number}\\r\\n\\r\\n{body}\\r\\n"
        smtp.sendmail(sender, [rcpt], text)
"""


@dataclass(slots=True)
class Post:
    """A node with the mail service beside it."""

    node: RunningNode
    home: Path
    service: subprocess.Popen[bytes] | None = None

    @property
    def mailbox(self) -> str:
        return f"{USER}@[IPv6:{self.node.address}]"

    def run(self, *arguments: str) -> Any:
        """What `dexmesh mail ... --json` says."""
        argv = [*DEXMESH, "mail", *arguments, "--json", "--home", str(self.home)]
        return json.loads(self.node.machine.run(argv, check=False).stdout)

    def switch_on(self) -> None:
        argv = [*DEXMESH, "mail", "on", "--account", USER, "--config", str(self.node.config)]
        self.node.machine.run([*argv, "--home", str(self.home)])

    def serve(self) -> None:
        argv = [*DEXMESH, "mail", "serve", "--config", str(self.node.config)]
        self.service = self.node.machine.start([*argv, "--home", str(self.home)], log="mail.log")

    def is_serving(self) -> bool:
        """Whether the worker answers."""
        argv = [*DEXMESH, "mail", "status", "--home", str(self.home)]
        return self.node.machine.run(argv, check=False).returncode == 0

    def know(self, other: Post) -> None:
        """The other is no stranger."""
        argv = [*DEXMESH, "contact", "add", "other", other.mailbox, "--no-check"]
        self.node.machine.run([*argv, "--home", str(self.home)])

    def kill_service(self) -> None:
        self.node.machine.run(["pkill", "-KILL", "-f", "dexmesh mail serve"], check=False)

    def submit(self, to: Post, first: int, count: int, size: int = 5) -> None:
        """Hand mails to our own service, as a mail program does."""
        numbers = (str(first), str(count), str(size))
        argv = [sys.executable, "-c", _SUBMIT, self.mailbox, to.mailbox, *numbers]
        self.node.machine.run(argv)

    def spooled(self) -> int:
        """Bytes of mails that are on their way in."""
        return sum(path.stat().st_size for path in (self.home / "mail" / "spool").glob("*"))

    def subjects(self) -> list[str]:
        """Of all that arrived, sorted, in any folder."""
        box = self.home / "mail" / "users" / USER / "Maildir"
        found = []
        for path in (*box.glob("*/new/*"), *box.glob("*/cur/*"), *box.glob("new/*")):
            lines = path.read_text(errors="replace").splitlines()
            found += [line[9:] for line in lines if line.startswith("Subject: ")][:1]
        return sorted(found)

    def wait_for(self, count: int, limit_s: float) -> float:
        """Until so many mails are there; the seconds it took."""
        try:
            return wait_until(lambda: len(self.subjects()) >= count, limit_s, f"{count} mails")
        except HostError as error:
            logs = self.node.machine.log("mail.log")
            raise AssertionError(f"{error}: {self.subjects()}\n{logs}") from None

    def waiting(self) -> int:
        """Mails in the queue."""
        found: int = self.run("status")["waiting"]["mails"]
        return found


def make_post(node: RunningNode) -> Post:
    """The mail of a node, switched on."""
    post = Post(node, node.machine.folder / "home")
    post.switch_on()
    return post


def _start(*posts: Post) -> None:
    for post in posts:
        post.node.start()
        post.serve()
    for post in posts:
        wait_until(post.is_serving, 30, "the mail service")


def _exchange(a: Post, b: Post) -> None:
    """They know each other."""
    wait_until(lambda: a.node.reaches(b.node), 30, "a to reach b")
    a.submit(b, 900, 1)
    b.submit(a, 900, 1)
    b.wait_for(1, 30)
    a.wait_for(1, 30)


def back_on_mesh(node: RunningNode) -> float:
    """Start a node; when its first link is up."""
    node.begin()

    def is_linked() -> bool:
        argv = [*DEXMESH, "peers", "--json", "--config", str(node.config)]
        done = node.machine.run(argv, check=False)
        return done.returncode == 0 and "ESTABLISHED" in done.stdout

    wait_until(is_linked, 30, "a link")
    return time.monotonic()


@pytest.mark.parametrize("is_direct", [True, False], ids=["a link", "a node between"])
def test_three_mails_that_waited_for_a_node_arrive_once_and_within_five_seconds_of_its_return(
    world: World, is_direct: bool
) -> None:
    a, b = make_post(world.node("a")), make_post(world.node("b"))
    if is_direct:
        world.join(b.node, a.node)
    else:
        relay = world.node("r")
        world.join(a.node, relay)
        world.join(b.node, relay)
        relay.start()
    _start(a, b)
    _exchange(a, b)
    b.node.stop("KILL")
    off = time.monotonic()
    a.submit(b, 1, 3)
    time.sleep(max(0.0, off + OFF_S - time.monotonic()))
    assert a.waiting() == 3
    assert len(b.subjects()) == 1
    back = back_on_mesh(b.node)
    b.wait_for(4, LIMIT_S)
    took_s = time.monotonic() - back
    assert took_s <= LIMIT_S
    wait_until(lambda: a.waiting() == 0, 10, "the queue to be empty")
    time.sleep(2)
    assert b.subjects() == ["mail 1", "mail 2", "mail 3", "mail 900"]
    print(f"delivered {took_s:.2f} s after the link was up")


def test_a_mail_that_was_half_way_when_the_power_failed_is_there_within_five_seconds_of_the_return(
    world: World,
) -> None:
    a, b = make_post(world.node("a")), make_post(world.node("b"))
    world.join(b.node, a.node)
    b.know(a)  # strangers may not send that much
    _start(a, b)
    _exchange(a, b)
    cable = ("dev", "to-b", "root")
    slow = ("tbf", "rate", "20mbit", "burst", "64kb", "latency", "200ms")
    a.node.machine.run(["tc", "qdisc", "add", *cable, *slow])
    a.submit(b, 1, 1, size=4_000_000)
    wait_until(lambda: b.spooled() > 500_000, 10, "half of a mail")
    b.kill_service()
    b.node.stop("KILL")
    assert b.spooled() < 4_000_000
    time.sleep(OFF_S)
    a.node.machine.run(["tc", "qdisc", "del", *cable])
    b.serve()
    wait_until(b.is_serving, 20, "the mail service")
    back = back_on_mesh(b.node)
    b.wait_for(2, LIMIT_S)
    print(f"delivered {time.monotonic() - back:.2f} s after the link was up")
    wait_until(lambda: a.waiting() == 0, 10, "the queue to be empty")
    assert b.subjects() == ["mail 1", "mail 900"]


def test_a_mail_service_that_starts_after_its_node_gets_what_waited(world: World) -> None:
    a, b = make_post(world.node("a")), make_post(world.node("b"))
    world.join(b.node, a.node)
    _start(a, b)
    _exchange(a, b)
    b.kill_service()
    b.node.stop("KILL")
    a.submit(b, 1, 3)
    time.sleep(8)
    back_on_mesh(b.node)
    time.sleep(6)
    b.serve()
    wait_until(lambda: b.run("status")["running"] is True, 20, "the service of b")
    began = time.monotonic()
    b.wait_for(4, LIMIT_S)
    print(f"delivered {time.monotonic() - began:.2f} s after the service was up")
    assert b.subjects() == ["mail 1", "mail 2", "mail 3", "mail 900"]
