"""Both ends of the control socket, over a real one; accounts other than ours are made up."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pwd
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from dexmesh.apps.base import control
from dexmesh.apps.base.arguments import require_user
from dexmesh.apps.base.control import Caller, ControlClient, ControlServer, Reply, Users
from dexmesh.apps.base.settings import MailSettings, UserSettings
from dexmesh.errors import AppError, DexmeshError, MailError, NoServiceError, PermissionNeededError

ME = pwd.getpwuid(os.geteuid()).pw_name
STRANGER = 65000
SETTINGS = MailSettings(
    users=(UserSettings("stuart", ME), UserSettings("news", ME), UserSettings("bob", "nobody"))
)
BOB_UID = pwd.getpwnam("nobody").pw_uid

Ask = Callable[[ControlClient], Any]


async def _echo(caller: Caller, arguments: Reply) -> Reply:
    return {"user": caller.user, "uid": caller.uid, **arguments}


async def _refuse(_caller: Caller, _arguments: Reply) -> Reply:
    raise MailError(452, "4.3.1", "no room", cause="secret", hint="tidy up")


async def _break(_caller: Caller, _arguments: Reply) -> Reply:
    raise ZeroDivisionError("secret")


async def _count(_caller: Caller, arguments: Reply) -> AsyncIterator[Reply]:
    return _numbers(int(arguments["to"]))


async def _numbers(last: int) -> AsyncIterator[Reply]:
    for number in range(last):
        if number == 3:
            raise AppError("three is too many", "count less")
        yield {"number": number}


def _asked(path: Path, ask: Ask, user: str | None = None) -> Any:
    """What a client in another thread gets from a server with the calls above."""

    def in_thread() -> Any:
        with ControlClient(path, user, patience_s=5) as client:
            return ask(client)

    async def both() -> Any:
        server = await _serving(path)
        try:
            return await asyncio.to_thread(in_thread)
        finally:
            await server.close()

    return asyncio.run(both())


async def _serving(path: Path) -> ControlServer:
    server = ControlServer(Users(SETTINGS, os.geteuid()))
    calls: dict[str, Callable[[Caller, Reply], Awaitable[Any]]] = {
        "echo": _echo, "refuse": _refuse, "break": _break, "count": _count,
    }  # fmt: skip
    for name, call in calls.items():
        server.register(name, call)
    server.explain("phone", NoServiceError("the phone is switched off", "switch it on"))
    await server.start(path)
    return server


def test_a_call_gets_its_result_and_the_kernel_says_who_calls(tmp_path: Path) -> None:
    answer = _asked(tmp_path / "s", lambda client: client.call("echo", text="ü\n"))
    assert answer == {"user": "stuart", "uid": os.geteuid(), "text": "ü\n"}


def test_many_calls_go_over_one_connection(tmp_path: Path) -> None:
    def ask(client: ControlClient) -> list[Reply]:
        with pytest.raises(MailError):
            client.call("refuse")
        return [client.call("echo", n=n) for n in range(3)]

    assert [one["n"] for one in _asked(tmp_path / "s", ask)] == [0, 1, 2]


def test_the_owner_of_the_service_may_act_for_anybody(tmp_path: Path) -> None:
    answer = _asked(tmp_path / "s", lambda client: client.call("echo"), "Bob")
    assert answer["user"] == "bob"
    with pytest.raises(AppError, match="nobody here is called 'eve'") as caught:
        _asked(tmp_path / "s", lambda client: client.call("echo"), "eve")
    assert "users are: stuart, news, bob" in caught.value.hint
    assert "for mail and phone" in caught.value.hint


def test_a_refusal_comes_with_code_and_hint_but_without_the_private_cause(tmp_path: Path) -> None:
    with pytest.raises(MailError) as caught:
        _asked(tmp_path / "s", lambda client: client.call("refuse"))
    error = caught.value
    assert (error.code, error.enhanced, error.public_text) == (452, "4.3.1", "no room")
    assert (error.hint, error.cause, error.temporary) == ("tidy up", "", True)


def test_a_mistake_in_a_call_ends_neither_the_service_nor_tells_secrets(tmp_path: Path) -> None:
    def ask(client: ControlClient) -> str:
        with pytest.raises(AppError) as caught:
            client.call("break")
        client.call("echo")
        return str(caught.value)

    assert "secret" not in _asked(tmp_path / "s", ask)


def test_a_stream_comes_piece_by_piece_and_may_end_with_an_error(tmp_path: Path) -> None:
    assert _asked(tmp_path / "s", lambda client: list(client.stream("count", to=2))) == [
        {"number": 0},
        {"number": 1},
    ]

    def ask(client: ControlClient) -> list[int]:
        got: list[int] = []
        with pytest.raises(AppError, match="three is too many"):
            got.extend(item["number"] for item in client.stream("count", to=9))
        return got

    assert _asked(tmp_path / "s", ask) == [0, 1, 2]


def test_a_client_that_leaves_while_it_is_told_something_is_no_failure(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def flood(_caller: Caller, _arguments: Reply) -> AsyncIterator[Reply]:
        return _flood()

    async def _flood() -> AsyncIterator[Reply]:
        for _ in range(1000):
            yield {"text": "x" * 10_000}

    async def both() -> None:
        server = await _serving(tmp_path / "s")
        server.register("flood", flood)
        client = ControlClient(tmp_path / "s", patience_s=5)
        await asyncio.to_thread(next, client.stream("flood"))
        client.close()
        while server._clients:  # noqa: ASYNC110 a test waits
            await asyncio.sleep(0.01)
        await server.close()

    asyncio.run(both())
    assert caplog.records == []


def test_an_unknown_call_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AppError, match="no call 'nonsense'"):
        _asked(tmp_path / "s", lambda client: client.call("nonsense"))


def test_calls_of_an_app_that_is_off_say_so(tmp_path: Path) -> None:
    with pytest.raises(NoServiceError, match="the phone is switched off") as caught:
        _asked(tmp_path / "s", lambda client: client.call("phone.status"))
    assert caught.value.hint == "switch it on"


def test_the_words_of_errors_are_about_the_app_that_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(NoServiceError, match="the phone service is not running here") as caught:
        ControlClient(tmp_path / "nobody", app="phone").call("echo")
    assert "`dexmesh phone on`" in caught.value.hint


def test_a_client_that_is_closed_waits_for_nothing_more(tmp_path: Path) -> None:
    async def wait(_caller: Caller, _arguments: Reply) -> AsyncIterator[Reply]:
        return _never()

    async def _never() -> AsyncIterator[Reply]:
        yield {}
        await asyncio.Event().wait()

    async def both() -> None:
        server = await _serving(tmp_path / "s")
        server.register("wait", wait)
        client = ControlClient(tmp_path / "s", patience_s=60)
        items = await asyncio.to_thread(client.stream, "wait")
        assert await asyncio.to_thread(next, items) == {}
        waiting = asyncio.ensure_future(asyncio.to_thread(next, items))
        await asyncio.sleep(0)
        while not waiting.done():
            client.close()
            await asyncio.wait({waiting}, timeout=0.05)
        with pytest.raises(NoServiceError):
            await waiting
        await server.close()

    asyncio.run(both())


def test_where_nobody_listens_the_error_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NoServiceError) as caught:
        ControlClient(tmp_path / "s").call("echo")
    assert "dexmesh mail on" in caught.value.hint
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "s"))
    with pytest.raises(NoServiceError):
        ControlClient(tmp_path / "s").call("echo")


def test_a_service_that_is_silent_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "s"))
        silent.listen()
        with pytest.raises(AppError, match="does not answer"):
            ControlClient(tmp_path / "s", patience_s=0.05).call("echo")


@pytest.mark.parametrize(
    "line",
    [
        *(b"{}\n", b"[]\n", b"x\n", b'{"call": 5}\n', b'{"call": "echo", "arguments": []}\n'),
        *(b'{"call": "echo", "user": 7}\n', b"[" * 100_000 + b"\n", b"\xff\n", b'"\\ud800"\n'),
        b'{"call": "echo", "arguments": {"text": ["\\udcff"]}}\n',
    ],
)
def test_a_line_of_nonsense_gets_an_error_and_the_next_line_is_heard(
    tmp_path: Path, line: bytes
) -> None:
    replies = asyncio.run(_raw(tmp_path / "s", line + b'{"call": "echo"}\n', lines=2))
    assert "error" in json.loads(replies[0])
    assert "result" in json.loads(replies[1])


async def _raw(path: Path, data: bytes, lines: int) -> list[bytes]:
    server = await _serving(path)
    try:
        reader, writer = await asyncio.open_unix_connection(str(path), limit=1 << 22)
        writer.write(data)
        replies = [await asyncio.wait_for(reader.readline(), 5) for _ in range(lines)]
        writer.close()
        return replies
    finally:
        await server.close()


def test_a_line_without_end_is_cut_off(tmp_path: Path) -> None:
    async def flood() -> bytes:
        server = await _serving(tmp_path / "s")
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
        with contextlib.suppress(ConnectionError):
            writer.write(b"x" * (control.MAX_REQUEST_BYTES * 3))
            await writer.drain()
        try:
            return await asyncio.wait_for(reader.read(), 5)
        except ConnectionError:
            return b""
        finally:
            await server.close()

    assert asyncio.run(flood()) == b""


def test_clients_beyond_the_limit_are_told_so_unless_root_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "MAX_CLIENTS", 1)
    monkeypatch.setattr(control, "_uid_of", lambda _writer: BOB_UID)

    async def crowd() -> bytes:
        server = await _serving(tmp_path / "s")
        try:
            _, first = await asyncio.open_unix_connection(str(tmp_path / "s"))
            reader, second = await asyncio.open_unix_connection(str(tmp_path / "s"))
            said = await asyncio.wait_for(reader.readline(), 5)
            first.close()
            second.close()
            return said
        finally:
            await server.close()

    assert "busy" in json.loads(asyncio.run(crowd()))["error"]["text"]


def test_one_account_does_not_shut_out_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "MAX_CLIENTS_OF_ONE", 3)
    callers = iter([*[STRANGER] * 5, BOB_UID])
    monkeypatch.setattr(control, "_uid_of", lambda _writer: next(callers))

    async def crowd() -> list[Any]:
        server = await _serving(tmp_path / "s")
        try:
            clients = [await asyncio.open_unix_connection(str(tmp_path / "s")) for _ in range(6)]
            (bob, bobs), extras = clients[5], clients[3:5]
            bobs.write(b'{"call": "echo"}\n')
            said = [json.loads(await asyncio.wait_for(one.readline(), 5)) for one, _ in extras]
            said.append(json.loads(await asyncio.wait_for(bob.readline(), 5)))
            for _, writer in clients:
                writer.close()
            return said
        finally:
            await server.close()

    *extras, bob = asyncio.run(crowd())
    assert ["busy" in one["error"]["text"] for one in extras] == [True, True]
    assert bob["result"]["user"] == "bob"


def test_a_silent_client_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "IDLE_S", 0.05)
    assert asyncio.run(_raw(tmp_path / "s", b"", lines=1)) == [b""]


def test_a_socket_left_behind_is_replaced_and_the_new_one_taken_away_at_the_end(
    tmp_path: Path,
) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert _asked(path, lambda client: client.call("echo"))["user"] == "stuart"
    assert list(tmp_path.iterdir()) == []


def test_a_name_is_given_once() -> None:
    server = ControlServer(Users(SETTINGS, 0))
    server.register("echo", _echo)
    with pytest.raises(ValueError, match="twice"):
        server.register("echo", _echo)


def test_an_account_acts_for_its_own_users_only() -> None:
    users = Users(SETTINGS, 12345)
    assert users.judge(BOB_UID, None) == users.judge(BOB_UID, "bob") == "bob"
    for uid, wanted in ((BOB_UID, "stuart"), (STRANGER, None), (STRANGER, "bob")):
        with pytest.raises(PermissionNeededError):
            users.judge(uid, wanted)


def test_an_account_with_two_users_is_the_first_or_the_one_it_names() -> None:
    users = Users(SETTINGS, 12345)
    assert users.judge(os.geteuid(), None) == "stuart"
    assert users.judge(os.geteuid(), "NEWS") == "news"


def test_who_lives_here_not_hears_of_mail_and_phone_alike() -> None:
    with pytest.raises(PermissionNeededError, match="neither mailbox nor phone here"):
        Users(SETTINGS, 12345).judge(STRANGER, None)
    with pytest.raises(AppError, match="nobody here is called 'eve'") as caught:
        Users(MailSettings(), STRANGER).judge(STRANGER, "eve")
    assert caught.value.hint.startswith("`dexmesh mail user add NAME`")
    with pytest.raises(AppError, match="nobody has a mailbox or a phone here yet"):
        require_user(Caller(STRANGER, ""))


def test_the_account_of_the_service_is_the_first_user_when_it_has_none_of_its_own() -> None:
    assert Users(SETTINGS, STRANGER).judge(STRANGER, None) == "stuart"
    assert Users(MailSettings(), STRANGER).judge(STRANGER, None) == ""


def test_every_kind_of_error_arrives_as_the_same_kind() -> None:
    errors: list[DexmeshError] = [
        MailError(550, "5.1.1", "nobody"), AppError("a", "b"), PermissionNeededError("c", "d"),
    ]  # fmt: skip
    for error in errors:
        told = control._told(json.loads(json.dumps(control._error(error)))["error"])
        assert type(told) is type(error)
        assert (str(told), told.hint) == (str(error), error.hint)


def test_a_stream_ends_soon_after_its_client_left(tmp_path: Path) -> None:
    ended = asyncio.Event()

    async def wait_for_ever(_caller: Caller, _arguments: Reply) -> AsyncIterator[Reply]:
        return nothing()

    async def nothing() -> AsyncIterator[Reply]:
        try:
            yield {"begun": True}
            await asyncio.sleep(3600)
        finally:
            ended.set()

    async def play() -> None:
        server = ControlServer(Users(SETTINGS, os.geteuid()))
        server.register("wait", wait_for_ever)
        await server.start(tmp_path / "s")
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
        writer.write(b'{"call": "wait"}\n')
        assert json.loads(await reader.readline()) == {"item": {"begun": True}}
        writer.close()
        async with asyncio.timeout(10):
            await ended.wait()
        await server.close()

    asyncio.run(play())


def test_a_client_that_was_closed_waits_for_nothing_more(tmp_path: Path) -> None:
    """Closed by another thread while it listened: a new connection would have no call to answer."""

    async def wait_for_ever(_caller: Caller, _arguments: Reply) -> AsyncIterator[Reply]:
        return items()

    async def items() -> AsyncIterator[Reply]:
        yield {"begun": True}
        await asyncio.sleep(3600)

    def ask() -> None:
        client = ControlClient(tmp_path / "s", patience_s=60)
        stream = client.stream("wait")
        assert next(stream) == {"begun": True}
        client.close()
        with pytest.raises(NoServiceError):
            next(stream)

    async def play() -> None:
        server = await _serving(tmp_path / "s")
        server.register("wait", wait_for_ever)
        async with asyncio.timeout(20):
            await asyncio.to_thread(ask)
        await server.close()

    asyncio.run(play())
