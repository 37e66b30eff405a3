"""Cookies, hashes, tracked addresses, and the limit on guessing."""

from __future__ import annotations

import hashlib

import pytest

from dexmesh.admin import auth
from dexmesh.admin.auth import (
    Authenticator,
    FailureLimit,
    Source,
    TrackedAddresses,
    cookie_at,
    datagram_hash,
    password_hash,
    refuse_open_bind,
)
from dexmesh.errors import BindError
from dexmesh.wire.bencode import decode_bencode_dict, encode_bencode

PASSWORD = b"s3cr3tAdminPass"
UNIX_MS = 1_795_350_537_372
NOW = 100.0
SOURCE: Source = ("127.0.0.1", 40000)


def signed(
    password: bytes = PASSWORD, cookie: int = cookie_at(UNIX_MS), prefix: bytes = b"d"
) -> bytes:
    """An authenticated ping; `prefix` may bring keys of its own."""
    first = password_hash(password, cookie)
    text = prefix + b"6:cookie10:%d4:hash64:%s1:q4:auth2:aq4:pinge" % (cookie, first)
    return text.replace(first, datagram_hash(text))


def admits(data: bytes, authenticator: Authenticator | None = None, now: float = NOW) -> bool:
    authenticator = authenticator or Authenticator(PASSWORD)
    return authenticator.admits(data, decode_bencode_dict(data), SOURCE, UNIX_MS, now)


def test_a_cookie_counts_in_units_of_1024_ms() -> None:
    assert cookie_at(1024 * 5 - 1) == 4
    assert cookie_at(1024 * 5) == 5


def test_the_right_password_is_admitted_and_a_wrong_one_not() -> None:
    assert admits(signed())
    assert not admits(signed(b"wrong"))


@pytest.mark.parametrize(("age", "is_accepted"), [(0, True), (20, True), (21, False), (-1, False)])
def test_a_cookie_lives_20_units_and_never_comes_from_the_future(
    age: int, is_accepted: bool
) -> None:
    assert admits(signed(cookie=cookie_at(UNIX_MS) - age)) is is_accepted


def test_only_63_bytes_of_password_and_cookie_are_hashed() -> None:
    password = b"p" * 60
    assert (
        password_hash(password, 1753272620)
        == hashlib.sha256(b"p" * 60 + b"175").hexdigest().encode()
    )


def test_a_zero_byte_before_the_hash_does_not_matter() -> None:
    assert admits(signed(prefix=b"d4:argsd1:x2:\x00\x00e"))


def test_padding_and_key_order_are_part_of_what_is_hashed() -> None:
    data = signed(prefix=b"d0004:txid2:zz")
    assert admits(data)
    assert not admits(data.replace(b"d0004:", b"d004:"))


def test_the_first_place_of_the_hash_is_the_one_replaced() -> None:
    first = password_hash(PASSWORD, cookie_at(UNIX_MS))
    text = b"d6:cookie10:%d4:hash64:%s2:zz64:%s1:q4:authe" % (cookie_at(UNIX_MS), first, b"0" * 64)
    claimed = datagram_hash(text)
    assert admits(text.replace(first, claimed, 1))
    swapped = text.replace(b"0" * 64, claimed).replace(first, claimed)
    assert not admits(swapped)


@pytest.mark.parametrize(
    "change",
    [
        {b"hash": b""},
        {b"hash": b"0" * 63},
        {b"hash": 5},
        {b"hash": [b"x"]},
        {b"cookie": b""},
        {b"cookie": b"x"},
        {b"cookie": b"9" * 21},
        {b"cookie": -1},
        {b"cookie": b"-1"},
        {b"cookie": [1]},
    ],
)
def test_malformed_proofs_are_refused(change: dict[bytes, bytes | int | list[bytes]]) -> None:
    request = {**decode_bencode_dict(signed()), **change}
    assert not admits(encode_bencode(request))


def test_missing_proofs_are_refused() -> None:
    for key in (b"hash", b"cookie"):
        request = decode_bencode_dict(signed())
        del request[key]
        assert not admits(encode_bencode(request))


def test_an_upper_case_hash_is_refused() -> None:
    data = signed()
    claimed = decode_bencode_dict(data)[b"hash"]
    assert isinstance(claimed, bytes)
    assert not admits(data.replace(claimed, claimed.upper()))


def test_an_address_that_guesses_too_often_has_to_wait() -> None:
    authenticator = Authenticator(PASSWORD)
    for _ in range(auth.FAILURE_BURST):
        assert not admits(signed(b"guess"), authenticator)
    assert not admits(signed(), authenticator)
    assert admits(signed(), authenticator, NOW + 1)


def test_a_client_that_is_known_is_heard_while_others_on_its_machine_guess() -> None:
    authenticator = Authenticator(PASSWORD)
    authenticator.tracked.learn(SOURCE, NOW)
    for _ in range(auth.FAILURE_BURST + 1):
        data = signed(b"guess")
        request = decode_bencode_dict(data)
        assert not authenticator.admits(data, request, ("127.0.0.1", 1), UNIX_MS, NOW)
    assert admits(signed(), authenticator)


def test_guesses_are_forgiven_with_time() -> None:
    limit = FailureLimit()
    for _ in range(auth.FAILURE_BURST):
        limit.learn("192.0.2.1", 0.0)
    assert not limit.allows("192.0.2.1", 0.4)
    assert limit.allows("192.0.2.1", 0.5)
    assert limit.allows("192.0.2.2", 0.0)
    limit.learn("192.0.2.1", 1000.0)
    assert limit.allows("192.0.2.1", 1000.0)


def test_a_flood_of_guessers_keeps_the_table_bounded() -> None:
    limit = FailureLimit()
    for number in range(auth.MAX_FAILING * 3):
        limit.learn(f"2001:db8::{number:x}", 0.0)
    assert len(limit) == auth.MAX_FAILING


def test_a_source_is_tracked_for_30_seconds_after_its_last_request() -> None:
    tracked = TrackedAddresses()
    assert not tracked.refresh(SOURCE, 0.0)
    tracked.learn(SOURCE, 0.0)
    assert tracked.refresh(SOURCE, 30.0)
    assert tracked.holds(SOURCE, 60.0)
    assert not tracked.holds(SOURCE, 60.1)
    assert len(tracked) == 0


def test_a_flood_of_callers_keeps_the_table_bounded_and_the_latest_in_it() -> None:
    tracked = TrackedAddresses()
    tracked.learn(SOURCE, 0.0)
    for port in range(auth.MAX_TRACKED):
        tracked.learn(("127.0.0.2", port), 1.0)
    assert len(tracked) == auth.MAX_TRACKED
    assert not tracked.holds(SOURCE, 1.0)
    assert tracked.holds(("127.0.0.2", auth.MAX_TRACKED - 1), 1.0)


@pytest.mark.parametrize("password", [b"NONE", b""])
@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "2001:db8::1"])
def test_an_open_port_that_others_reach_is_refused(host: str, password: bytes) -> None:
    with pytest.raises(BindError) as caught:
        refuse_open_bind(host, password)
    assert "127.0.0.1" in caught.value.hint


@pytest.mark.parametrize(
    ("host", "password"),
    [("127.0.0.1", b"NONE"), ("::1", b"NONE"), ("0.0.0.0", b"secret"), ("0.0.0.0", None)],
)
def test_a_safe_bind_is_accepted(host: str, password: bytes | None) -> None:
    refuse_open_bind(host, password)
