"""The envelope: what is answered, what is met with silence, who may call what."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator

import pytest

from dexmesh.admin import server as server_module
from dexmesh.admin.assembly import admin_server
from dexmesh.admin.registry import Arguments, Caller, Function, Registry
from dexmesh.admin.server import (
    AUTH_FAILED,
    BUSY,
    MAX_REQUEST_BYTES,
    TOO_BIG,
    UNKNOWN_FUNCTION,
    AdminServer,
    Pending,
    Reply,
    answer_of,
)
from dexmesh.admin.values import Answer
from dexmesh.errors import AdminError, HostError
from tests.unit.admin import calling
from tests.unit.admin.fake import FakeNode

PASSWORD = b"secret"


def protected(node: FakeNode | None = None) -> calling.Caller:
    return calling.Caller(admin_server(node or FakeNode(), PASSWORD), PASSWORD)


def opened(node: FakeNode | None = None) -> calling.Caller:
    return calling.Caller(admin_server(node or FakeNode(), b"NONE"))


def data_of(outcome: Reply | Pending | None) -> bytes:
    assert isinstance(outcome, Reply)
    return outcome.data


def test_a_ping_without_txid_is_answered_with_the_bytes_python_clients_look_for() -> None:
    assert data_of(protected().send(b"d1:q4:pinge")) == b"d1:q4:ponge"


def test_replies_have_sorted_keys_and_no_padding() -> None:
    assert data_of(protected().send(b"d4:txid2:zz1:q4:pinge")) == b"d1:q4:pong4:txid2:zze"


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        b"d",
        b"d1:q4:ping",
        b"d1:q4:pinge\n",
        b" d1:q4:pinge",
        b"4:ping",
        b"l4:pinge",
        b"i5e",
        b"de",
        b"d1:qi5ee",
        b"d4:txid2:zze",
        b"d1:q4:ping1:x" + b"l" * 200 + b"e" * 200 + b"e",
        bytes(200),
    ],
)
def test_what_is_no_request_is_met_with_silence_and_counted(datagram: bytes) -> None:
    caller = protected()
    assert caller.send(datagram) is None
    assert caller.server.drops == {"admin: not a request": 1}


def test_512_bytes_are_read_and_513_refused_with_28_fixed_bytes() -> None:
    def request(size: int) -> bytes:
        padding = b"x" * (size - len(b"d3:pad400:1:q4:pinge"))
        return b"d3:pad%d:%s1:q4:pinge" % (len(padding), padding)

    assert len(request(MAX_REQUEST_BYTES)) == MAX_REQUEST_BYTES
    assert data_of(protected().send(request(512))) == b"d1:q4:ponge"
    assert data_of(protected().send(request(513))) == TOO_BIG
    assert len(TOO_BIG) == 28
    assert data_of(protected().send(bytes(60000))) == TOO_BIG


@pytest.mark.parametrize("txid", [b"\x00\xff\n\x01", b"t" * 100])
def test_any_txid_comes_back_as_it_was(txid: bytes) -> None:
    reply = data_of(protected().send(b"d1:q4:ping4:txid%d:%se" % (len(txid), txid)))
    assert reply == b"d1:q4:pong4:txid%d:%se" % (len(txid), txid)


def test_a_function_that_needs_the_password_is_unknown_without() -> None:
    caller = protected()
    caller.password = None
    assert caller.error("AuthorizedPasswords_list") == UNKNOWN_FUNCTION
    assert caller.call("Core_pid") == {"pid": 4711}
    caller.password = PASSWORD
    assert caller.call("AuthorizedPasswords_list")["total"] == 1


def test_a_wrong_password_is_refused_before_the_function_is_looked_at() -> None:
    caller = protected()
    caller.password = b"wrong"
    assert caller.error("NoSuchFunction") == AUTH_FAILED


def test_an_open_node_lets_everybody_call_everything() -> None:
    caller = opened()
    assert caller.call("AuthorizedPasswords_list")["total"] == 1
    caller.password = b"NONE"
    assert caller.call("AuthorizedPasswords_list")["total"] == 1
    caller.password = b"other"
    assert caller.error("ping") == AUTH_FAILED


def test_a_required_argument_that_is_missing_or_of_another_type_is_named() -> None:
    caller = opened()
    text = "Entry [user] is required and must be of type [String]"
    assert caller.error("AuthorizedPasswords_remove") == text
    assert caller.error("AuthorizedPasswords_remove", user=5) == text
    assert (
        caller.error("NodeStore_dumpTable", page="0")
        == "Entry [page] is required and must be of type [Int]"
    )


def test_an_optional_argument_of_another_type_is_ignored() -> None:
    assert opened().call("InterfaceController_peerStats", page="''")["total"] == 0


def test_text_that_is_not_utf8_is_refused_and_not_ignored() -> None:
    node = FakeNode()
    caller = opened(node)
    text = "Entry [user] is not UTF-8 text"
    assert caller.error("AuthorizedPasswords_add", password="pw", user=b"\xff") == text
    assert node.users() == ["Local Peers"]


def test_async_is_enabled_once_the_password_was_proved_and_for_30_seconds() -> None:
    caller = protected()
    anonymous = calling.Caller(caller.server)
    assert anonymous.call("Admin_asyncEnabled") == {"asyncEnabled": 0}
    caller.call("ping")
    anonymous.now += 29
    assert anonymous.call("Admin_asyncEnabled") == {"asyncEnabled": 1}
    anonymous.now += 29
    assert anonymous.call("Admin_asyncEnabled") == {"asyncEnabled": 1}
    anonymous.now += 31
    assert anonymous.call("Admin_asyncEnabled") == {"asyncEnabled": 0}


def test_the_first_authenticated_call_is_async_already() -> None:
    assert protected().call("Admin_asyncEnabled") == {"asyncEnabled": 1}
    assert opened().call("Admin_asyncEnabled") == {"asyncEnabled": 1}


def test_a_refused_call_makes_nobody_tracked() -> None:
    caller = protected()
    caller.password = b"wrong"
    caller.call("ping")
    caller.password = None
    assert caller.call("Admin_asyncEnabled") == {"asyncEnabled": 0}


def test_a_late_reply_goes_only_to_a_caller_that_is_still_there() -> None:
    caller = protected()
    pending = caller.start("SwitchPinger_ping", path="0000.0000.0000.0013")
    assert isinstance(pending, Pending)
    assert caller.server.late_reply(pending, {"ms": 1}, caller.now + 30) is not None
    assert caller.server.late_reply(pending, {"ms": 1}, caller.now + 30.1) is None
    assert caller.server.drops["admin: reply to a caller that left"] == 1
    pending.answers.close()  # type: ignore[union-attr]


def test_too_many_waiting_calls_are_refused_until_some_are_finished() -> None:
    caller = opened()
    waiting = [
        caller.start("SwitchPinger_ping", path="0000.0000.0000.0013")
        for _ in range(server_module.MAX_PENDING)
    ]
    assert caller.error("SwitchPinger_ping", path="0000.0000.0000.0013") == BUSY
    assert caller.call("Core_pid") == {"pid": 4711}
    for pending in waiting:
        assert isinstance(pending, Pending)
        pending.answers.close()  # type: ignore[union-attr]
        caller.server.finish(pending)
    assert caller.call("SwitchPinger_ping", path="0000.0000.0000.0013")["result"] == "timeout"


def test_a_function_may_answer_many_times() -> None:
    async def count(_arguments: Arguments, _caller: Caller) -> AsyncGenerator[Answer, None]:
        yield {"n": 1}
        yield {"n": 2}

    server = AdminServer(Registry([Function("Count", count, needs_auth=False)]), b"NONE")
    assert calling.Caller(server).call_all("Count") == [{"n": 1}, {"n": 2}]


def test_a_failure_behind_a_function_tells_the_caller_no_private_detail(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(_arguments: Arguments, _caller: Caller) -> Answer:
        raise HostError("open /etc/secret: no")

    server = AdminServer(Registry([Function("Fail", fail)]), b"NONE")
    with caplog.at_level(logging.WARNING, "dexmesh"):
        assert calling.Caller(server).error("Fail") == "Unknown error."
    assert [record.__dict__["reason"] for record in caplog.records] == ["open /etc/secret: no"]
    assert answer_of(AdminError("public")) == {"error": "public"}


def test_a_bug_of_ours_is_answered_and_logged_with_its_trace(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(_arguments: Arguments, _caller: Caller) -> Answer:
        raise ValueError("embedded null byte")

    server = AdminServer(Registry([Function("Fail", fail)]), b"NONE")
    with caplog.at_level(logging.WARNING, "dexmesh"):
        assert calling.Caller(server).error("Fail") == "Unknown error."
    assert [record.exc_info is not None for record in caplog.records] == [True]


def test_a_cookie_is_the_time_and_cannot_be_asked_for_with_a_password() -> None:
    caller = protected()
    cookie = caller.unix_ms // 1024
    assert data_of(caller.send(b"d1:q6:cookiee")) == b"d6:cookie10:%de" % cookie
    assert caller.error("cookie") == UNKNOWN_FUNCTION
    assert caller.error("auth") == UNKNOWN_FUNCTION


def test_the_answer_to_exit_is_written_before_the_node_ends() -> None:
    node = FakeNode()
    assert protected(node).call("Core_exit") == {"error": "none"}
    assert node.has_exited


def test_an_unstarted_late_call_can_be_thrown_away() -> None:
    pending = opened().start("SearchRunner_search", ipv6="fc00::1")
    assert isinstance(pending, Pending)
    assert isinstance(pending.answers, AsyncGenerator)
    asyncio.run(pending.answers.aclose())
