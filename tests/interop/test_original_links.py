"""One link to the original: whoever calls, over IPv4 and IPv6, with every credential, through restarts.

caller ----- called         (links)
n1 ----- n2 ----- n3        (relays)
"""

from __future__ import annotations

import time

import pytest

from dexmesh.cli.lab import wait_until
from tests.interop.mixed import (
    FileServer,
    Node,
    begin_call,
    begin_reaching,
    connect,
    first_answer_s,
    make,
    pair,
    reaches,
    start_line,
    tell,
)
from tests.interop.original import needs_original
from tests.netns.conftest import World

pytestmark = [pytest.mark.interop, needs_original]

CALLERS = pytest.mark.parametrize("caller", ["ours", "original"])
LINK_S = 15.0
SIZE = 100_000_000
RECOVERY_S = {  # of a called node only its caller can know: it has to find out by itself
    ("ours", "caller"): 5.0,
    ("ours", "called"): 10.0,
    ("original", "caller"): 10.0,
    ("original", "called"): 90.0,  # the original believes in a silent session for 60 s
}
NOT_LINKED = {"INIT", "SENT_HELLO", "UNAUTHENTICATED"}  # ours, v20.7 and v22.1 put it differently
_CALLS_TO_WATCH = 3
_CALLS_S = 30.0


def _start(called: Node, calling: Node) -> None:
    called.start()
    calling.start()


@CALLERS
@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_a_link_works_whoever_calls(world: World, caller: str, family: str) -> None:
    calling, called = pair(world, caller, ipv6=family == "ipv6")
    _start(called, calling)
    reaches(calling, called, LINK_S)
    reaches(called, calling, 5)
    (peer,) = calling.peers()
    assert str(peer["endpoint"]).startswith("[fd99" if family == "ipv6" else "10.99")


@CALLERS
def test_a_hundred_megabytes_arrive_intact_each_way(world: World, caller: str) -> None:
    calling, called = pair(world, caller)
    _start(called, calling)
    reaches(calling, called, LINK_S)
    _exchange(calling, called)


@pytest.mark.parametrize(
    "kinds",
    [
        ["original", "ours", "original"],
        ["ours", "original", "ours"],
        ["original", "ours", "original", "ours", "original"],
    ],
    ids=lambda kinds: "-".join(kind[:4] for kind in kinds),
)
def test_a_hundred_megabytes_arrive_through_relays_each_way(world: World, kinds: list[str]) -> None:
    nodes = start_line(world, kinds)
    reaches(nodes[0], nodes[-1], 40)
    _exchange(nodes[0], nodes[-1])


def _exchange(one: Node, other: Node) -> None:
    there = FileServer(one, SIZE).fetch(other)
    back = FileServer(other, SIZE).fetch(one)
    print(f"{there:.1f} MB/s there, {back:.1f} MB/s back")


@CALLERS
@pytest.mark.parametrize("login", [False, True], ids=["password", "login-and-password"])
def test_a_right_credential_lets_the_caller_in(world: World, caller: str, login: bool) -> None:
    calling, called = _strangers(world, caller)
    endpoint = connect(world, calling, called)
    tell(calling, called, endpoint, called.login if login else None, called.password)
    _start(called, calling)
    reaches(calling, called, LINK_S)
    reaches(called, calling, 5)
    (peer,) = called.peers()
    assert peer["state"] == "ESTABLISHED"
    if caller == "original":  # the original forgets who it was, so it cannot tell
        assert peer["user"] == called.login


@CALLERS
@pytest.mark.parametrize("credential", ["password", "login-and-password", "login"])
def test_a_wrong_credential_meets_silence(world: World, caller: str, credential: str) -> None:
    """password: alone, and wrong. login: an unknown one with the right password."""
    calling, called = _strangers(world, caller)
    endpoint = connect(world, calling, called)
    wrong = {
        "password": (None, "not-the-password"),
        "login-and-password": (called.login, "not-the-password"),
        "login": ("somebody-else", called.password),
    }
    tell(calling, called, endpoint, *wrong[credential])
    called.start()
    before = _when_quiet(called)
    calling.start()
    _expect_silence(calling, called, before)


def test_no_credential_meets_silence(world: World) -> None:
    """Only ours can call without one: the original ends when it is told to."""
    calling, called = _strangers(world, "ours")
    endpoint = connect(world, calling, called)
    _start(called, calling)
    before = _when_quiet(called)
    begin_call(calling, called, endpoint)
    _expect_silence(calling, called, before)


def _expect_silence(calling: Node, called: Node, before: tuple[int, int]) -> None:
    """Calls come in, nothing goes out, nobody appears."""
    wait_until(
        lambda: _datagrams(called)[0] >= before[0] + _CALLS_TO_WATCH, _CALLS_S, "calls to come"
    )
    assert _datagrams(called)[1] == before[1], "the called node has said something"
    assert called.peers() == []
    (peer,) = calling.peers()
    assert peer["state"] in NOT_LINKED


@pytest.mark.parametrize("meanwhile", ["quiet", "busy"])
@pytest.mark.parametrize(("caller", "restarted"), RECOVERY_S)
def test_a_killed_node_is_back_after_its_restart(
    world: World, caller: str, restarted: str, meanwhile: str
) -> None:
    """Counted from when its address can be used again. busy: the survivor pings all the time."""
    calling, called = pair(world, caller)
    _start(called, calling)
    reaches(calling, called, LINK_S)
    reaches(called, calling, 5)
    again, other = (calling, called) if restarted == "caller" else (called, calling)
    if meanwhile == "busy":
        begin_reaching(other, again)
        time.sleep(2)
    again.stop("KILL")
    again.start()
    since = time.time()
    if meanwhile == "quiet":
        begin_reaching(other, again)
    begin_reaching(again, other)
    limit_s = RECOVERY_S[caller, restarted]
    heard = [first_answer_s(node, since, limit_s) for node in (other, again)]
    print("recovery: survivor {:.1f} s, restarted {:.1f} s".format(*heard))


def _strangers(world: World, caller: str) -> tuple[Node, Node]:
    """Two machines that are not joined yet: the one that will call, the one of the other kind."""
    called = make(world, "called", "original" if caller == "ours" else "ours")
    return make(world, "caller", caller), called


def _when_quiet(node: Node) -> tuple[int, int]:
    """`_datagrams` once a second goes by without any: it has been told its configuration."""
    before = (-1, -1)
    while (now := _datagrams(node)) != before:
        before = now
        time.sleep(1)
    return now


def _datagrams(node: Node) -> tuple[int, int]:
    """How many UDP datagrams over IPv4 the machine has taken in and sent; nobody asks its admin."""
    lines = node.machine.run(["cat", "/proc/net/snmp"]).stdout.splitlines()
    names, values = (text.split() for text in lines if text.startswith("Udp:"))
    counts = dict(zip(names, values, strict=True))
    return int(counts["InDatagrams"]), int(counts["OutDatagrams"])
