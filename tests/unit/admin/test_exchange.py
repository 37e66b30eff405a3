"""Requests of our clients, replies, pages, and the file with the login."""

from __future__ import annotations

from pathlib import Path

import pytest

from dexmesh.admin.exchange import (
    MOST_PAGES,
    Pages,
    cookie_in,
    decode_reply,
    encode_request,
    raise_refusal,
)
from dexmesh.admin.login import AdminLogin, read_login
from dexmesh.errors import AdminError, AuthFailedError, ConfigError
from dexmesh.wire.bencode import decode_bencode_dict


def test_a_request_without_a_password_names_the_function() -> None:
    request = encode_request("Core_pid", {"a": "x", "n": 5}, b"t")
    assert request == b"d4:argsd1:a1:x1:ni5ee1:q8:Core_pid4:txid1:te"


def test_a_request_with_a_password_hides_it() -> None:
    request = encode_request("ping", {}, b"t", b"secret", 1753272053)
    message = decode_bencode_dict(request)
    assert message[b"q"] == b"auth"
    assert message[b"aq"] == b"ping"
    assert message[b"cookie"] == b"1753272053"
    assert b"secret" not in request


@pytest.mark.parametrize("password", [None, b"secret"])
def test_a_request_no_node_would_read_is_not_made(password: bytes | None) -> None:
    with pytest.raises(AdminError, match="too big") as caught:
        encode_request("ping", {"a": "x" * 512}, b"t", password)
    assert "512" in caught.value.hint


@pytest.mark.parametrize(
    ("data", "reply"),
    [
        (b"d000001:q4:ponge", (b"", {"q": "pong"})),
        (b"d1:al1:x2:\xc3\xa4e4:txid1:te", (b"t", {"a": ["x", "ä"]})),
        (b"d1:a1:\xff4:txidi5ee", (b"", {"a": "\udcff"})),
        (b"4:pong", None),
        (b"d1:q4:pong", None),
        (b"", None),
    ],
)
def test_replies_of_every_node_are_read(data: bytes, reply: object) -> None:
    assert decode_reply(data) == reply


def test_only_a_decimal_number_is_a_cookie() -> None:
    assert cookie_in({"cookie": "1753272053"}) == 1753272053
    for wrong in ("", "-1", "1e3", "٣", 5, None):
        assert cookie_in({"cookie": wrong}) is None


def test_success_has_no_error_or_the_error_none() -> None:
    raise_refusal({})
    raise_refusal({"error": "none"})
    raise_refusal({"error": 5})
    with pytest.raises(AdminError):
        raise_refusal({"error": "no such session"})
    with pytest.raises(AuthFailedError):
        raise_refusal({"error": "Auth failed."})


def test_pages_are_read_to_the_end_by_each_of_the_three_rules() -> None:
    by_more = Pages("peers")
    assert by_more.take({"peers": [2, 1], "more": 1, "total": 3})
    assert not by_more.take({"peers": [3], "total": 3})
    assert by_more.entries == [1, 2, 3]
    by_total = Pages("users")
    assert by_total.take({"users": [2, 1], "total": 3})
    assert not by_total.take({"users": [3], "total": 3})
    until_empty = Pages("snodes")
    assert until_empty.take({"snodes": ["x"]})
    assert not until_empty.take({"snodes": []})
    assert until_empty.number == 1


def test_a_node_that_says_more_for_ever_is_left() -> None:
    pages = Pages("peers")
    turns = 0
    while pages.take({"peers": [1], "more": 1}):
        turns += 1
    assert turns == MOST_PAGES - 1
    assert not Pages("peers").take({"more": 1})
    assert not Pages("peers").take({"peers": "text", "more": 1})


def login_in(folder: Path, text: str) -> AdminLogin:
    file = folder / "cjdnsadmin"
    file.write_text(text)
    return read_login(file)


def test_the_login_is_read_from_the_file_of_the_original(tmp_path: Path) -> None:
    text = '{"addr": "::1", "port": 5, "password": "pw", "config": "/etc/cjdroute.conf"}'
    login = login_in(tmp_path, text)
    assert login == AdminLogin("::1", 5, b"pw")
    assert login.where == "[::1]:5"
    assert "pw" not in repr(login)


def test_without_the_file_or_its_keys_the_usual_place_is_meant(tmp_path: Path) -> None:
    usual = AdminLogin("127.0.0.1", 11234, b"NONE")
    assert read_login(tmp_path / "missing") == usual
    assert login_in(tmp_path, "{}") == usual
    assert login_in(tmp_path, '{"password": null}') == AdminLogin(password=None)


def test_the_file_is_looked_for_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".cjdnsadmin").write_text('{"port": 77}')
    assert read_login().port == 77


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"addr": "localhost"}',
        '{"addr": 5}',
        '{"port": 0}',
        '{"port": "x"}',
        '{"port": 65536}',
        '{"port": true}',
        '{"password": 5}',
        r'{"password": "\ud800"}',
        pytest.param("[" * 5000, id="deep"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="cjdnsadmin"):
        login_in(tmp_path, text)


def test_a_folder_in_its_place_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_login(tmp_path)
