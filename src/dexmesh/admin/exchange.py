"""Write the requests of a client and read what comes back.

Place     client.py and async_client.py -> here; server.py is the other side
Spec      docs/protocol/08 §3 (envelope), §4 (client side), §5 (pages)
Keeps     a refusal is an exception of errors.py; text that is no UTF-8 survives both ways
Not here  sockets and waiting
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dexmesh.admin.auth import datagram_hash, password_hash
from dexmesh.admin.server import AUTH_FAILED, MAX_REQUEST_BYTES, UNKNOWN_FUNCTION
from dexmesh.admin.values import NONE, Value, to_bencode_dict
from dexmesh.errors import (
    AdminError,
    AuthFailedError,
    BadArgumentError,
    DecodeError,
    UnknownFunctionError,
)
from dexmesh.wire.bencode import BencodeValue, decode_bencode_dict, encode_bencode

MOST_PAGES = 4096  # ours: a node that says `more` for ever is broken

_BAD_ARGUMENT = re.compile(r"Entry \[(.*?)\] ")

Reading = dict[str, Any]
"""A reply: integers, text, lists and dictionaries, as bencode has them."""


def encode_cookie_request(txid: bytes) -> bytes:
    """Ask for a cookie, before an authenticated call."""
    return encode_bencode({b"q": b"cookie", b"txid": txid})


def encode_request(
    function: str,
    arguments: Mapping[str, Value],
    txid: bytes,
    password: bytes | None = None,
    cookie: int = 0,
) -> bytes:
    """A call of `function`, authenticated if there is a password.

    Raises AdminError for a request that no node would read.
    """
    request: dict[bytes, BencodeValue] = {b"txid": txid, b"args": to_bencode_dict(arguments)}
    if password is None:
        request[b"q"] = function.encode()
        return _limited(encode_bencode(request))
    request[b"q"], request[b"aq"] = b"auth", function.encode()
    request[b"cookie"] = b"%d" % cookie
    request[b"hash"] = password_hash(password, cookie)
    request[b"hash"] = datagram_hash(encode_bencode(request))
    return _limited(encode_bencode(request))


def _limited(request: bytes) -> bytes:
    if len(request) > MAX_REQUEST_BYTES:
        raise AdminError(
            "Request too big.",
            f"A call has at most {MAX_REQUEST_BYTES} bytes, this one has {len(request)}.",
        )
    return request


def decode_reply(data: bytes) -> tuple[bytes, Reading] | None:
    """The txid (empty if there is none) and the content of a reply; None for anything else."""
    try:
        message = decode_bencode_dict(data)
    except DecodeError:
        return None
    txid = message.pop(b"txid", b"")
    return (txid if isinstance(txid, bytes) else b""), _read_dict(message)


def cookie_in(reply: Reading) -> int | None:
    """The cookie a reply carries."""
    text = reply.get("cookie")
    return int(text) if isinstance(text, str) and text.isascii() and text.isdigit() else None


def raise_refusal(reply: Reading) -> None:
    """Raise AdminError if the reply says that the call failed."""
    text = reply.get("error", NONE)
    if not isinstance(text, str) or text == NONE:
        return
    if text == AUTH_FAILED:
        raise AuthFailedError(
            text, "The password is `admin.password` in cjdroute.conf; ~/.cjdnsadmin may be old."
        )
    if text == UNKNOWN_FUNCTION:
        raise UnknownFunctionError(text)
    match = _BAD_ARGUMENT.match(text)
    if match is not None:
        raise BadArgumentError(match[1], text)
    raise AdminError(text)


class Pages:
    """Collects a list that comes in pages, oldest entry first (nodes list newest first)."""

    def __init__(self, key: str) -> None:
        self._key = key
        self.number = 0
        self.entries: list[Any] = []

    def take(self, reply: Reading) -> bool:
        """Keep a page; whether there is another one to ask for."""
        shown = reply.get(self._key)
        if not isinstance(shown, list) or not shown:
            return False
        self.entries += reversed(shown)
        self.number += 1
        if "more" not in reply and "total" in reply:
            total = reply["total"]
            return isinstance(total, int) and len(self.entries) < total
        return self.number < MOST_PAGES


def _read(value: BencodeValue) -> Any:
    if isinstance(value, bytes):
        return value.decode(errors="surrogateescape")
    if isinstance(value, Mapping):
        return _read_dict(value)
    if isinstance(value, int):
        return value
    return [_read(item) for item in value]


def _read_dict(values: Mapping[bytes, BencodeValue]) -> Reading:
    return {key.decode(errors="surrogateescape"): _read(value) for key, value in values.items()}
