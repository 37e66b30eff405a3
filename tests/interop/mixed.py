"""Build worlds of nodes of both kinds, join them, and ask whether traffic flows.

Place     tests/interop uses it; a node is ours (RunningNode) or the original (Original)
Keeps     the same questions for both kinds: `peers` and `begin_call` ask the admin RPC
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

from dexmesh.cli.lab import wait_until
from tests.interop.original import PORT, Original
from tests.netns.conftest import RunningNode, World

Node: TypeAlias = RunningNode | Original

FETCH_LIMIT_S = 300

_BEGIN_CALL = """
import json, sys
from dexmesh.admin.client import AdminClient
from dexmesh.cli.connection import find_login
from pathlib import Path
config, arguments = sys.argv[1:]
with AdminClient(find_login(Path(config))) as node:
    node.call("UDPInterface_beginConnection", **json.loads(arguments))
"""


def make(world: World, name: str, kind: str) -> Node:
    """A machine with a configuration; nothing is started."""
    return world.node(name) if kind == "ours" else Original.make(world.lab, name)


def connect(world: World, caller: Node, called: Node, *, ipv6: bool = False) -> str:
    """A cable only; returns the endpoint of the called node."""
    ends = world.lab.cable(caller.machine, called.machine)
    if not ipv6:
        return f"{ends[1]}:{PORT}"
    number = ends[1].split(".")[2]
    for end, node in enumerate((caller, called), start=1):
        if isinstance(node, Original):
            node.bind6 = f"[fd99:{number}::{end}]:{PORT}"
    return f"[fd99:{number}::2]:{PORT}"


def tell(caller: Node, called: Node, endpoint: str, login: str | None, password: str) -> None:
    """Write into the caller's configuration whom to call, and with which credential."""
    if isinstance(caller, Original):
        entry = {"password": password, "publicKey": called.key}
        caller.connect_to[endpoint] = entry if login is None else {"login": login, **entry}
        return
    caller.dexmesh(
        *("peer", "add", endpoint, "--key", called.key, "--name", called.machine.name),
        *(() if login is None else ("--login", login)),
        *("--password-stdin", "--no-live"),
        stdin=password + "\n",
    )


def join(world: World, caller: Node, called: Node, *, ipv6: bool = False) -> None:
    """A cable, and the caller is told how to call."""
    tell(caller, called, connect(world, caller, called, ipv6=ipv6), called.login, called.password)


def pair(world: World, caller: str, *, ipv6: bool = False) -> tuple[Node, Node]:
    """Two joined nodes, `caller` (ours | original) and one of the other kind: caller, called."""
    called = make(world, "called", "original" if caller == "ours" else "ours")
    calling = make(world, "caller", caller)
    join(world, calling, called, ipv6=ipv6)
    return calling, called


def start_line(world: World, kinds: Sequence[str]) -> list[Node]:
    """A line of nodes, each calling the one before it; all started."""
    nodes = [make(world, f"n{number}", kind) for number, kind in enumerate(kinds, start=1)]
    for left, right in pairwise(nodes):
        join(world, right, left)
    for node in nodes:
        node.start()
    return nodes


def begin_call(caller: Node, called: Node, endpoint: str) -> None:
    """Tell a running node to call without any credential; no configuration can say so."""
    arguments = {"publicKey": called.key, "address": endpoint, "interfaceNumber": 0}
    argv = [sys.executable, "-c", _BEGIN_CALL, str(caller.config), json.dumps(arguments)]
    caller.machine.run(argv)


def reaches(node: Node, other: Node, limit_s: float) -> float:
    """Ping until there is an answer; the seconds it took."""

    def answered() -> bool:
        argv = ["ping", "-c", "1", "-W", "1", other.address]
        return node.machine.run(argv, check=False).returncode == 0

    return wait_until(answered, limit_s, f"{node.machine.name} to reach {other.machine.name}")


def begin_reaching(node: Node, other: Node) -> None:
    """Ping every 0.2 s from now on, in the background."""
    argv = ["ping", "-n", "-D", "-i", "0.2", other.address]
    node.machine.start(argv, log="reaching.log")


def first_answer_s(node: Node, since: float, limit_s: float) -> float:
    """How many seconds after `since` (wall clock) `begin_reaching` had an answer."""
    answers: list[float] = []

    def answered() -> bool:
        log = node.machine.log("reaching.log")
        times = map(float, re.findall(r"^\[([\d.]+)\] \d+ bytes from", log, re.MULTILINE))
        answers[:] = [answer for answer in times if answer >= since]
        return bool(answers)

    wait_until(answered, limit_s, f"{node.machine.name} to hear an answer")
    return answers[0] - since


class FileServer:
    """Random bytes behind HTTP in a machine, to be fetched and compared."""

    def __init__(self, server: Node, size: int) -> None:
        self._server = server
        folder = server.machine.folder / "www"
        folder.mkdir()
        data = os.urandom(size)
        (folder / "file").write_bytes(data)
        self._digest = hashlib.sha256(data).hexdigest()
        argv = [sys.executable, "-m", "http.server", "8080", "--bind", server.address]
        server.machine.start([*argv, "-d", str(folder)], log="http.log")

    def fetch(self, node: Node) -> float:
        """Fetch it over the mesh, compare the hash; returns MB/s."""
        got = node.machine.folder / "got"
        curl = ["curl", "-sSf", "--retry", "20", "--retry-connrefused", "--retry-delay", "1"]
        url = f"http://[{self._server.address}]:8080/file"
        done = node.machine.run(
            [*curl, "-w", "%{speed_download}", "-o", str(got), url], timeout_s=FETCH_LIMIT_S
        )
        assert _digest(got) == self._digest
        return float(done.stdout) / 1e6


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
