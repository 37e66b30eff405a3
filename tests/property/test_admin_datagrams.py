"""Whatever datagrams come, the admin server answers in documented forms, and its tables stay small."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexmesh.admin import auth, log_stream
from dexmesh.admin.assembly import admin_server
from dexmesh.admin.auth import Authenticator, cookie_at
from dexmesh.admin.exchange import decode_reply, encode_request
from dexmesh.admin.log_stream import LogStream
from dexmesh.admin.login import AdminLogin
from dexmesh.admin.server import MAX_PENDING, AdminServer, Pending
from dexmesh.wire.bencode import encode_bencode
from tests.unit.admin.calling import START_UNIX_MS, Caller
from tests.unit.admin.fake import FakeNode
from tests.unit.admin.feeding import feed, new_server
from tests.vectors.loading import load

ADMIN = load("admin.json")
TABLE: dict[str, dict[str, dict[str, Any]]] = ADMIN["function_table_v20_7"]
CAPTURED = [
    bytes.fromhex(entry["request_hex"])
    for group in ("open_core_calls", "password_core_calls", "paging_8_peers", "core_lifecycle")
    for entry in ADMIN[group]
]


def finish(server: AdminServer, pending: Pending) -> None:
    """Throw a waiting call away, as a closing endpoint does."""
    answers = pending.answers
    if isinstance(answers, Coroutine):
        answers.close()
    elif isinstance(answers, AsyncGenerator):
        with pytest.raises(StopIteration):
            answers.aclose().__await__().__next__()
    server.finish(pending)


@given(st.binary(max_size=600))
def test_any_bytes_are_survived(datagram: bytes) -> None:
    feed(new_server(), datagram)


@given(st.sampled_from(CAPTURED), st.data())
def test_captured_requests_with_some_bytes_changed_are_survived(
    request: bytes, data: st.DataObject
) -> None:
    server = new_server(b"s3cr3tAdminPass")
    changed = bytearray(request)
    for _ in range(data.draw(st.integers(1, 4))):
        if changed:
            changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(changed)))
    feed(server, bytes(changed))
    feed(server, bytes(changed[:cut]))
    feed(server, bytes(changed) * 2)


bencode_values = st.recursive(
    st.integers(-(1 << 63), (1 << 63) - 1) | st.binary(max_size=40),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.binary(max_size=12), inner, max_size=4)
    ),
    max_leaves=8,
)
argument_values = (
    bencode_values
    | st.sampled_from([b"0000.0000.0000.0013", b"fc00::1", b"192.0.2.1:5000", b"", b"\xff\x00"])
    | st.integers(-3, 100)
)


@given(st.data())
def test_every_function_survives_any_arguments(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(TABLE)))
    arguments = {
        argument.encode(): data.draw(argument_values)
        for argument in TABLE[name]
        if data.draw(st.booleans()) or TABLE[name][argument]["required"]
    }
    request = {b"q": name.encode(), b"args": arguments, b"txid": data.draw(bencode_values)}
    feed(new_server(), encode_bencode(request))


@given(bencode_values, bencode_values, bencode_values, bencode_values)
def test_any_proof_is_checked_without_an_exception(
    cookie: Any, claimed: Any, name: Any, args: Any
) -> None:
    request = {b"q": b"auth", b"aq": name, b"cookie": cookie, b"hash": claimed, b"args": args}
    reply = feed(new_server(b"secret"), encode_bencode(request))
    assert reply is not None
    message = decode_reply(reply.data)
    assert message is not None
    assert message[1]["error"] in ("Auth failed.", "Request too big.")


@given(st.binary(min_size=1, max_size=53), st.integers(0, 40), st.binary(max_size=60))
def test_what_our_client_signs_our_server_accepts_in_the_window_only(
    password: bytes, age: int, argument: bytes
) -> None:
    cookie = cookie_at(START_UNIX_MS) - age
    request = encode_request("ping", {"\x00first": argument}, b"t", password, cookie)
    reply = feed(new_server(password), request)
    assert reply is not None
    message = decode_reply(reply.data)
    assert message is not None
    assert (message[1].get("q") == "pong") is (age <= 20)


def test_a_flood_from_many_places_keeps_every_table_bounded() -> None:
    stream = LogStream(logging.Logger("dexmesh.flood"))
    server = admin_server(FakeNode(), b"NONE", stream)
    authenticator: Authenticator = server._authenticator
    waiting: list[Pending] = []
    caller = Caller(server)
    for number in range(4000):
        caller.source = (f"127.0.{number >> 8}.{number & 255}", number)
        for function, password in [
            ("AdminLog_subscribe", None),
            ("ping", b"wrong"),
            ("SwitchPinger_ping", None),
        ]:
            caller.password = password
            outcome = caller.start(function, path="0000.0000.0000.0013")
            if isinstance(outcome, Pending):
                waiting.append(outcome)
    assert len(authenticator.tracked) <= auth.MAX_TRACKED
    assert len(authenticator._failures) <= auth.MAX_FAILING
    assert len(waiting) == MAX_PENDING
    assert len(stream.subscriptions()) <= log_stream.MAX_SUBSCRIPTIONS
    for pending in waiting:
        finish(server, pending)


def test_junk_is_counted_under_few_names() -> None:
    server = new_server()
    for number in range(1000):
        feed(server, b"%d" % number)
    assert server.drops == {"admin: not a request": 1000}


def test_a_login_never_shows_its_password() -> None:
    assert "hunter2" not in repr(AdminLogin(password=b"hunter2"))
