"""When a node that somebody waits for is back, and how little is asked to know that."""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from dexmesh.admin.login import AdminLogin
from dexmesh.apps.base import node_tables, signs
from dexmesh.apps.base.node_tables import NodeTables
from dexmesh.apps.base.presence import LONGEST_QUIET_MS, QUIET_MS, Presence, Row, Table
from dexmesh.apps.base.signs import SignsOfLife, probe
from dexmesh.errors import AdminError, NoNodeError
from dexmesh.wire.address import Address, format_padded, parse_address
from dexmesh.wire.keys import address_of, decode_key

KEY = decode_key("mwrbxrdfh8jyhuc1pz6w3wsducmgxftw28ymck45g8r9p7syz7d0.k")
BOB = address_of(KEY)
ANN = parse_address("fc00::a")
HERE = parse_address("::1")
NOW = 1_700_000_000_000  # Unix milliseconds


def row(state: str = "ESTABLISHED", last_in_ms: int = NOW - 60_000, **more: int) -> Row:
    return Row(state, more.get("handle", 7), more.get("send_handle", 9), last_in_ms)


def looks(*rows: Row | None, first: Row | None = None) -> list[bool]:
    """What each look says, after a first one."""
    presence = Presence()
    presence.handle_row(BOB, Table.SESSIONS, first, NOW)
    return [presence.handle_row(BOB, Table.SESSIONS, one, NOW) for one in rows]


def test_a_new_session_that_the_other_side_answered_is_a_sign_once() -> None:
    assert looks(row(), row(), row()) == [True, False, False]
    assert looks(row("RECEIVED_KEY"), row()) == [True, False]


def test_a_session_that_only_we_began_is_none() -> None:
    silent = [row(state) for state in ("INIT", "SENT_HELLO", "SENT_KEY", "RECEIVED_HELLO")]
    assert not any(looks(*silent, *silent))
    assert looks(row("SENT_HELLO"), row("ESTABLISHED")) == [False, True]


def test_a_stale_row_of_a_node_that_is_gone_is_none_whatever_we_send() -> None:
    assert looks(row(), row(), None, first=row()) == [False, False, False]


def test_a_node_started_anew_has_another_handle() -> None:
    assert looks(row(send_handle=10), first=row()) == [True]
    assert looks(row(handle=8), first=row()) == [True]


def test_silence_that_ends_is_a_sign_and_talk_that_goes_on_is_none() -> None:
    talk = [row(last_in_ms=NOW + step) for step in (1500, 3000, 4500)]
    assert looks(*talk, first=row(last_in_ms=NOW)) == [False, False, False]
    assert looks(row(last_in_ms=NOW), first=row(last_in_ms=NOW - 20_000)) == [True]


def test_at_the_first_look_only_what_was_heard_just_now_counts() -> None:
    presence = Presence()
    assert not presence.handle_row(BOB, Table.SESSIONS, row(), NOW)
    assert presence.handle_row(ANN, Table.SESSIONS, row(last_in_ms=NOW - 500), NOW)
    assert not presence.handle_row(BOB, Table.LINKS, row(last_in_ms=0), NOW)


def test_the_metric_of_v22_falls_when_something_comes_in() -> None:
    before, after = Row("ESTABLISHED", 7, 9, 0, 0xFF510000 + 30_000), 0xFF510000 + 100
    assert looks(Row("ESTABLISHED", 7, 9, 0, after), first=before) == [True]
    supernode = Row("ESTABLISHED", 7, 9, 0, 0xFF100000)
    assert looks(supernode, first=before) == [False]
    aging = Row("ESTABLISHED", 7, 9, 0, 0xFF510000 + 31_500)
    assert looks(aging, first=before) == [False]


def test_a_node_that_is_there_and_takes_no_mail_is_not_called_for_ever() -> None:
    presence = Presence()
    presence.handle_row(BOB, Table.SESSIONS, row(last_in_ms=NOW), NOW)
    looks = [
        row(last_in_ms=NOW + minute * 20_000) for minute in range(1, 200)
    ]  # idle: a packet in 20 s
    told = [presence.handle_row(BOB, Table.SESSIONS, one, NOW) for one in looks]
    assert told == [True, True, *[False] * 197]
    away = row(last_in_ms=NOW + 200 * 20_000 + LONGEST_QUIET_MS)
    assert presence.handle_row(BOB, Table.SESSIONS, away, NOW)
    presence.forget_except(frozenset({ANN}))  # he got it
    presence.handle_row(BOB, Table.SESSIONS, row(last_in_ms=NOW), NOW)
    assert presence.handle_row(BOB, Table.SESSIONS, row(last_in_ms=NOW + QUIET_MS), NOW)


def test_nodes_nobody_waits_for_are_forgotten() -> None:
    presence = Presence()
    presence.handle_row(BOB, Table.SESSIONS, None, NOW)
    presence.forget_except(frozenset({ANN}))
    assert not presence.is_seen(BOB, Table.SESSIONS)


class FakeNode:
    """The admin port of a node with these sessions and links."""

    def __init__(self, login: AdminLogin | None = None) -> None:
        self.sessions: dict[int, tuple[Address, Row]] = {}
        self._by_address: dict[str, int] = {}
        self.peers: list[dict[str, Any]] = []
        self.calls: list[str] = []
        self.is_there = True

    async def call(self, function: str, **arguments: Any) -> Mapping[str, Any]:
        self.calls.append(function)
        if not self.is_there:
            raise NoNodeError("here")
        if function == "SessionManager_getHandles":
            start = 64 * arguments["page"]
            handles = list(self.sessions)[start : start + 64]
            return {"handles": handles[::-1], "total": len(self.sessions)}
        if function == "InterfaceController_peerStats":
            start = 6 * arguments["page"]
            more = {"more": 1} if len(self.peers) > start + 6 else {}
            return {"peers": self.peers[start : start + 6], "total": len(self.peers), **more}
        handle = arguments.get("handle") or self._by_address.get(arguments.get("ip6", ""))
        if handle not in self.sessions:
            raise AdminError("no such session")
        address, one = self.sessions[handle]
        return {
            "ip6": format_padded(address),
            "state": one.state,
            "handle": one.handle,
            "sendHandle": one.send_handle,
            "timeOfLastIn": one.last_in_ms,
        }

    def close(self) -> None:
        pass

    def add(self, handle: int, address: Address, state: str = "ESTABLISHED") -> None:
        self.sessions[handle] = (address, row(state, handle=handle))
        self._by_address[format_padded(address)] = handle


def stranger(number: int) -> Address:
    return Address(b"\xfc\x01" + number.to_bytes(14, "big"))


def test_new_sessions_are_found_at_the_end_of_four_thousand_with_few_calls() -> None:
    async def body() -> None:
        node = FakeNode()
        for number in range(4096):
            node.add(1000 + number, stranger(number))
        tables = NodeTables(node)  # type: ignore[arg-type]
        assert await tables.new_sessions() == []
        assert len(node.calls) <= 66
        node.calls.clear()
        assert await tables.new_sessions() == []
        assert len(node.calls) <= 2
        node.calls.clear()
        node.add(9000, BOB)
        assert await tables.new_sessions() == [(BOB, row(handle=9000))]
        assert len(node.calls) <= 5
        node.calls.clear()
        for number in range(1000):
            node.add(20_000 + number, stranger(5000 + number))
        found = []
        for _ in range(12):
            node.calls.clear()
            found += await tables.new_sessions()
            assert len(node.calls) <= node_tables.MAX_NEW + 20
        assert len(found) == 1000

    asyncio.run(body())


def test_a_session_that_took_the_handle_of_another_is_not_mistaken() -> None:
    async def body() -> None:
        node = FakeNode()
        node.add(7, ANN)
        tables = NodeTables(node)  # type: ignore[arg-type]
        assert await tables.session_at(7, BOB) is None
        assert await tables.session_at(8, BOB) is None
        assert await tables.session_of(BOB) is None
        assert await tables.session_of(ANN) == row()

    asyncio.run(body())


def test_links_are_read_from_all_pages_and_nonsense_is_left_out() -> None:
    async def body() -> None:
        node = FakeNode()
        name = "v20.0000.0000.0000.0013.mwrbxrdfh8jyhuc1pz6w3wsducmgxftw28ymck45g8r9p7syz7d0.k"
        node.peers = [{"addr": "nonsense"}, {}] * 4
        node.peers.append({"addr": name, "state": "ESTABLISHED", "last": 17})
        tables = NodeTables(node)  # type: ignore[arg-type]
        assert await tables.links() == [(BOB, Row("ESTABLISHED", last_in_ms=17))]

    asyncio.run(body())


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> FakeNode:
    """What SignsOfLife connects to, and no time lost."""
    found = FakeNode()

    async def connect(login: AdminLogin) -> NodeTables:
        if not found.is_there:
            raise NoNodeError("here")
        return NodeTables(found)  # type: ignore[arg-type]

    monkeypatch.setattr(NodeTables, "connect", connect)
    monkeypatch.setattr(signs, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(signs, "IDLE_S", 0.01)
    return found


class Watching:
    """A watch over some nodes, as long as the block lasts."""

    def __init__(self, *wanted: Address, login: AdminLogin | None = AdminLogin()) -> None:  # noqa: B008
        self.wanted: Sequence[Address] = wanted
        self.told: list[Address] = []
        self.watcher = SignsOfLife(login, HERE, port=1)

    async def __aenter__(self) -> Watching:
        self._task = asyncio.create_task(self.watcher.watch(self._waiting, self.told.append))
        await asyncio.sleep(0.1)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert not self._task.done()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _waiting(self) -> Sequence[Address]:
        return self.wanted

    async def expect(self, *told: Address) -> None:
        """These signs come, and in a while no others."""
        end = time.monotonic() + 2
        while len(self.told) < len(told) and time.monotonic() < end:  # noqa: ASYNC110  # noqa: ASYNC110 it is the absence of news that counts
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert self.told == list(told)
        self.told.clear()


def test_a_node_that_comes_back_is_told_once(node: FakeNode) -> None:
    async def body() -> None:
        node.add(5, ANN)
        async with Watching(BOB) as watching:
            await watching.expect()
            node.add(6, BOB, "SENT_HELLO")  # our own search for it
            await watching.expect()
            node.add(6, BOB)
            await watching.expect(BOB)
            del node.sessions[6]
            await watching.expect()
            node.add(8, BOB)
            await watching.expect(BOB)

    asyncio.run(body())


def test_nothing_is_asked_while_nobody_is_waited_for(node: FakeNode) -> None:
    async def body() -> None:
        async with Watching() as watching:
            assert node.calls == []
            watching.wanted = (BOB,)
            await watching.expect()
            assert node.calls
            watching.wanted = ()
            await asyncio.sleep(0.05)
            node.calls.clear()
            await watching.expect()
            assert node.calls == []

    asyncio.run(body())


def test_our_own_node_may_come_and_go(node: FakeNode) -> None:
    async def body() -> None:
        node.is_there = False
        async with Watching(BOB) as watching:
            await watching.expect()
            node.is_there = True
            await watching.expect()
            node.add(6, BOB)
            await watching.expect(BOB)
            node.is_there = False
            await watching.expect()
            node.is_there = True
            await watching.expect()  # the row is new to the watch, but nothing came in just now

    asyncio.run(body())


def test_looks_are_bounded_for_thousands_that_are_waited_for(node: FakeNode) -> None:
    async def body() -> None:
        wanted = [stranger(number) for number in range(4000)]
        for number, address in enumerate(wanted):
            node.add(1000 + number, address)
        watching = Watching(*wanted)
        node.add(1, BOB)
        tables = NodeTables(node)  # type: ignore[arg-type]
        await tables.new_sessions()
        for _ in range(45):
            node.calls.clear()
            async for _address in watching.watcher._signs(tables, wanted):
                raise AssertionError("nobody came back")
            assert len(node.calls) <= signs.MAX_ROWS + signs.MAX_ABSENT + 70
        seen = [one for one in wanted if watching.watcher._presence.is_seen(one, Table.SESSIONS)]
        assert len(seen) == 4000  # all had their turn

    asyncio.run(body())


def test_without_the_admin_port_probes_find_the_node(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signs, "PROBE_EVERY_S", 0.05)
    answers = {BOB: [errno.ETIMEDOUT, errno.ECONNREFUSED, errno.ECONNREFUSED, 0]}

    async def answer(_own: Address, address: Address, _port: int) -> int:
        return answers[address].pop(0) if answers[address] else errno.ETIMEDOUT

    monkeypatch.setattr(signs, "probe", answer)

    async def body() -> None:
        async with Watching(BOB, login=None) as watching:
            await asyncio.sleep(0.5)
            assert watching.told == [BOB, BOB]  # refused for the first time, and open
        assert node.calls == []

    asyncio.run(body())


def test_probes_are_few_at_a_time(node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signs, "PROBE_EVERY_S", 0.01)
    under_way, most = 0, 0

    async def slow(*_: object) -> int:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.05)
        under_way -= 1
        return errno.ETIMEDOUT

    monkeypatch.setattr(signs, "probe", slow)

    async def body() -> None:
        async with Watching(*(stranger(number) for number in range(500)), login=None):
            await asyncio.sleep(0.3)
        assert most == signs.MAX_PROBES

    asyncio.run(body())


def test_a_probe_says_what_the_port_does() -> None:
    async def body() -> None:
        with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
            assert await probe(HERE, HERE, server.getsockname()[1]) == 0
        assert await probe(HERE, HERE, 1) == errno.ECONNREFUSED
        assert await probe(ANN, HERE, 1) == errno.EADDRNOTAVAIL

    asyncio.run(body())


def test_known_nodes_are_greeted_when_we_come_back_and_not_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(signs, "GREET_AFTER_S", (0.01, 0.01, 0.01))
    monkeypatch.setattr(signs, "IDLE_S", 0.01)
    is_here = False
    knocked: list[Address] = []

    async def knock(_own: Address, address: Address, _port: int) -> int:
        knocked.append(address)
        return 0 if address == BOB else errno.ETIMEDOUT

    monkeypatch.setattr(signs, "probe", knock)
    monkeypatch.setattr(signs, "_has_address", lambda _: is_here)

    async def known() -> Sequence[Address]:
        return (BOB, ANN)

    async def body() -> None:
        nonlocal is_here
        task = asyncio.create_task(SignsOfLife(None, HERE).greet(known))
        await asyncio.sleep(0.1)
        assert knocked == []
        is_here = True
        await asyncio.sleep(0.3)
        assert (knocked.count(BOB), knocked.count(ANN)) == (1, 3)
        is_here = False
        await asyncio.sleep(0.05)
        is_here = True
        await asyncio.sleep(0.2)
        assert knocked.count(BOB) == 2
        task.cancel()

    asyncio.run(body())
