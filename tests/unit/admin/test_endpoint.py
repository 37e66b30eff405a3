"""The admin port over real sockets on loopback, called by our two clients."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import pytest

from dexmesh.admin import endpoint as endpoint_module
from dexmesh.admin.async_client import AsyncAdminClient
from dexmesh.admin.client import AdminClient
from dexmesh.admin.endpoint import open_endpoint
from dexmesh.admin.login import AdminLogin
from dexmesh.admin.services import NodeAnswer, SearchStep, SessionView, SwitchPingResult
from dexmesh.errors import (
    AdminError,
    AuthFailedError,
    BadArgumentError,
    BindError,
    NoNodeError,
    UnknownFunctionError,
)
from dexmesh.wire.keys import encode_key
from dexmesh.wire.label import Label
from dexmesh.wire.node_address import NodeAddress
from tests.unit.admin.fake import (
    KEY_B,
    LABEL_TO_PEER,
    FakeNode,
    peer_of,
    route_to,
    session_with,
)
from tests.unit.admin.running import running

T = TypeVar("T")
PATH = "0000.0000.0000.0013"


def full_node() -> FakeNode:
    node = FakeNode()
    node.links_up = [peer_of(KEY_B, label=Label(number), user=f"u{number}") for number in range(14)]
    node.open_sessions = [session_with(KEY_B, handle) for handle in range(3)]
    node.table = [route_to(KEY_B, Label(number)) for number in range(9)]
    node.search_steps = [SearchStep(NodeAddress(KEY_B, LABEL_TO_PEER, 20), 4, ())] * 3
    node.pings = lambda label, *_: SwitchPingResult("pong", 1, label, 20)
    return node


def with_async_client(
    login: AdminLogin, use: Callable[[AsyncAdminClient], Awaitable[T]], patience_s: float = 5.0
) -> T:
    async def main() -> T:
        client = await AsyncAdminClient.connect(login, patience_s)
        try:
            return await use(client)
        finally:
            client.close()

    return asyncio.run(main())


def test_a_client_reads_lists_of_any_length_oldest_first() -> None:
    with running(full_node()) as node, AdminClient(node.login) as client:
        client.ping()
        assert [peer["user"] for peer in client.peers()] == [f"u{n}" for n in range(14)]
        assert [session["handle"] for session in client.sessions()] == [0, 1, 2]
        assert len(client.table()) == 9
        assert client.pages("AuthorizedPasswords_list", "users") == ["Local Peers"]
        assert "SwitchPinger_ping" in client.functions()
        assert client.drops() == {}


def test_a_session_that_ends_while_sessions_are_read_is_left_out() -> None:
    class FadingNode(FakeNode):
        reads = 0

        def sessions(self) -> Sequence[SessionView]:
            FadingNode.reads += 1
            return self.open_sessions if FadingNode.reads == 1 else self.open_sessions[:-1]

    fading = FadingNode(open_sessions=[session_with(KEY_B, handle) for handle in range(3)])
    with running(fading) as node, AdminClient(node.login) as client:
        assert [session["handle"] for session in client.sessions()] == [0, 1]


def test_a_client_gets_late_replies_and_streams() -> None:
    with running(full_node()) as node, AdminClient(node.login) as client:
        assert client.call("SwitchPinger_ping", path=PATH)["result"] == "pong"
        replies = list(client.stream("SearchRunner_search", ipv6="fc00::1"))
        assert [reply.get("ms") for reply in replies] == [4, 4, 4, None]


def test_an_asyncio_client_does_the_same() -> None:
    async def use(client: AsyncAdminClient) -> None:
        assert len(await client.pages("InterfaceController_peerStats", "peers")) == 14
        calls = [client.call("SwitchPinger_ping", path=PATH) for _ in range(20)]
        assert [reply["result"] for reply in await asyncio.gather(*calls)] == ["pong"] * 20
        replies = [reply async for reply in client.stream("SearchRunner_search", ipv6="fc00::1")]
        assert len(replies) == 4
        with pytest.raises(UnknownFunctionError):
            await client.call("NoSuch")

    with running(full_node()) as node:
        with_async_client(node.login, use)


def test_a_node_without_a_password_is_called_with_or_without_one() -> None:
    with running(full_node(), b"NONE") as node:
        for password in (b"NONE", None):
            login = AdminLogin(node.login.host, node.login.port, password)
            with AdminClient(login) as client:
                assert client.call("SwitchPinger_ping", path=PATH)["result"] == "pong"


def test_an_ipv6_port_is_called_too() -> None:
    with running(full_node(), host="::1") as node, AdminClient(node.login) as client:
        assert node.login.where.startswith("[::1]:")
        assert client.call("Core_pid")["pid"] == 4711
        with_async_client(node.login, lambda other: other.call("Core_pid"))


def test_refusals_are_exceptions_that_say_whose_fault_it_is() -> None:
    with running(full_node()) as node, AdminClient(node.login) as client:
        with pytest.raises(BadArgumentError) as bad_argument:
            client.call("NodeStore_dumpTable")
        assert bad_argument.value.name == "page"
        with pytest.raises(UnknownFunctionError):
            client.call("NoSuch")
        with pytest.raises(AdminError) as refusal:
            client.call("SwitchPinger_ping", path="x")
        assert refusal.value.wire_text == "path was not parsable."
        with pytest.raises(AdminError, match="Request too big"):
            client.call("ping", filler="x" * 512)
        wrong = AdminLogin(node.login.host, node.login.port, b"wrong")
        with AdminClient(wrong) as stranger, pytest.raises(AuthFailedError) as failure:
            stranger.call("ping")
        assert "cjdnsadmin" in failure.value.hint


def unused_port() -> AdminLogin:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return AdminLogin(port=probe.getsockname()[1])


def test_nobody_at_the_port_is_said_at_once() -> None:
    login = unused_port()
    with AdminClient(login) as client, pytest.raises(NoNodeError, match=login.where) as caught:
        client.call("ping")
    assert "dexmesh up" in caught.value.hint
    with AdminClient(login) as client, pytest.raises(NoNodeError):
        client.ping()
    with pytest.raises(NoNodeError):
        with_async_client(login, lambda client: client.call("ping"))


def test_a_port_that_stays_silent_is_waited_for_only_so_long() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        login = AdminLogin(port=silent.getsockname()[1])
        with AdminClient(login, 0.1) as client, pytest.raises(NoNodeError):
            client.call("ping")
        anonymous = AdminLogin(port=login.port, password=None)
        with AdminClient(anonymous, 0.1) as client, pytest.raises(AdminError, match="no reply"):
            client.call("ping")
        with pytest.raises(NoNodeError):
            with_async_client(login, lambda client: client.call("ping"), 0.1)
        with pytest.raises(AdminError, match="no reply"):
            with_async_client(anonymous, lambda client: client.call("ping"), 0.1)


def test_replies_that_are_not_ours_are_not_believed() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as liar:
        liar.bind(("127.0.0.1", 0))
        liar.settimeout(5)

        def lie() -> None:
            _, source = liar.recvfrom(2048)
            for reply in (b"junk", b"d1:q4:ponge", b"d3:pidi1e4:txid8:deadbeefe", b"le", b""):
                liar.sendto(reply, source)

        thread = threading.Thread(target=lie)
        thread.start()
        login = AdminLogin(port=liar.getsockname()[1], password=None)
        with AdminClient(login, 0.2) as client, pytest.raises(AdminError, match="no reply"):
            client.call("Core_pid")
        thread.join()


def test_log_messages_are_pushed_to_who_subscribed() -> None:
    async def use(client: AsyncAdminClient) -> list[dict[str, object]]:
        messages = client.stream("AdminLog_subscribe", level="INFO")
        first = await anext(messages)
        assert first["error"] == "none"
        threading.Thread(target=node.logger.info, args=("from another thread",)).start()
        pushed = await anext(messages)
        assert pushed["streamId"] == first["streamId"]
        await messages.aclose()
        return [pushed]

    with running(full_node()) as node:
        (pushed,) = with_async_client(node.login, use)
        assert (pushed["message"], pushed["level"]) == ("from another thread", "INFO")


def test_a_call_that_never_ends_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    class StuckNode(FakeNode):
        async def query_node(self, *_: object) -> NodeAnswer:
            await asyncio.Event().wait()
            raise AssertionError

    monkeypatch.setattr(endpoint_module, "CALL_LIMIT_S", 0.05)
    with (
        running(StuckNode()) as node,
        AdminClient(node.login) as client,
        pytest.raises(AdminError, match="timeout"),
    ):
        client.call("RouterModule_pingNode", path=PATH)


def test_closing_ends_the_calls_that_wait() -> None:
    class StuckNode(FakeNode):
        is_ended = False

        async def query_node(self, *_: object) -> NodeAnswer:
            try:
                await asyncio.Event().wait()
            finally:
                StuckNode.is_ended = True
            raise AssertionError

    with (
        running(StuckNode()) as node,
        AdminClient(node.login, 0.1) as client,
        pytest.raises(AdminError, match="no reply"),
    ):
        client.call("RouterModule_pingNode", path=PATH)
    assert StuckNode.is_ended


def test_a_port_that_is_taken_is_refused_with_a_hint() -> None:
    with running(full_node()) as node, pytest.raises(BindError) as caught:
        asyncio.run(open_endpoint(node.server, node.login.host, node.login.port))
    assert "admin" in caught.value.hint
    with pytest.raises(BindError):
        asyncio.run(open_endpoint(node.server, "203.0.113.77", 0))


def test_when_the_socket_is_full_replies_are_dropped_and_counted() -> None:
    with running(full_node()) as node, AdminClient(node.login, 0.2) as client:
        node.endpoint.pause_writing()
        with pytest.raises(NoNodeError):
            client.call("ping")
        assert node.server.drops["admin: socket full"] >= 1
        node.endpoint.resume_writing()
        assert client.call("ping") == {"q": "pong"}


def test_a_client_that_left_before_its_reply_harms_nobody() -> None:
    with running(full_node()) as node:
        for _ in range(20):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as leaver:
                leaver.sendto(b"d1:q4:pinge", (node.login.host, node.login.port))
        with AdminClient(node.login) as client:
            assert client.call("ping") == {"q": "pong"}


def test_disconnecting_a_peer_through_the_port_reaches_the_node() -> None:
    fake = full_node()
    with running(fake) as node, AdminClient(node.login) as client:
        key = encode_key(KEY_B)
        assert client.call("InterfaceController_disconnectPeer", pubkey=key) == {"success": 1}
    assert fake.links_up == []


def test_a_bug_behind_a_late_answer_is_answered_too() -> None:
    def fail(*_: object) -> SwitchPingResult:
        raise ZeroDivisionError

    with (
        running(FakeNode(pings=fail)) as node,
        AdminClient(node.login) as client,
        pytest.raises(AdminError, match="Unknown error"),
    ):
        client.call("SwitchPinger_ping", path=PATH)
