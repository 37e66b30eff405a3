"""Read and write bencode, in the dialect the nodes of the mesh speak.

Place     admin/ and dht.py -> here
Spec      docs/protocol/08 §2; docs/protocol/06 §1
Keeps     reads what cjdns writes (padding zeros, any key order, repeated keys: the last wins);
          writes what every reader accepts (sorted, no padding); work and depth are bounded
Not here  which keys a message needs (dht.py, admin/)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias, Union

from dexmesh.errors import DecodeError, UsageError

BencodeValue: TypeAlias = Union[int, bytes, "BencodeList", "BencodeDict"]
BencodeList: TypeAlias = Sequence[BencodeValue]
BencodeDict: TypeAlias = Mapping[bytes, BencodeValue]

MAX_DEPTH = 32  # 08 §2: nesting limit of v22.3
MAX_BYTES = 65536  # 08 §1: the largest reply

_MIN_INTEGER = -(1 << 63)
_MAX_INTEGER = (1 << 63) - 1
_DIGITS = frozenset(b"0123456789")
_MAX_DIGITS = 19  # of a 64-bit integer, leading zeros not counted


def decode_bencode(
    data: bytes, *, allow_trailing: bool = False, max_bytes: int = MAX_BYTES
) -> BencodeValue:
    """The value `data` begins with; lists are `list`, dictionaries `dict`, strings `bytes`.

    Raises `DecodeError` for anything that is no bencode, too deep, too big, or an integer beyond
    64 bits; and for bytes after the end unless `allow_trailing`.
    """
    if len(data) > max_bytes:
        raise DecodeError("bencode too big")
    value, end = _read_value(bytes(data), 0, MAX_DEPTH)
    if end != len(data) and not allow_trailing:
        raise DecodeError("bytes after the end of bencode")
    return value


def decode_bencode_dict(
    data: bytes, *, allow_trailing: bool = False, max_bytes: int = MAX_BYTES
) -> dict[bytes, BencodeValue]:
    """Like `decode_bencode`, for messages: raises `DecodeError` unless it is a dictionary."""
    value = decode_bencode(data, allow_trailing=allow_trailing, max_bytes=max_bytes)
    if not isinstance(value, dict):
        raise DecodeError("bencode is not a dictionary")
    return value


def encode_bencode(value: BencodeValue) -> bytes:
    """The value as bencode: keys sorted, no padding.

    Raises `UsageError` for a value that has no bencode: other types, integers beyond 64 bits,
    nesting deeper than `MAX_DEPTH`.
    """
    pieces: list[bytes] = []
    _write_value(value, pieces, MAX_DEPTH)
    return b"".join(pieces)


def _read_value(data: bytes, start: int, depth: int) -> tuple[BencodeValue, int]:
    """The value that begins at `start`, and where it ends."""
    if depth == 0:
        raise DecodeError("bencode nested too deep")
    mark = data[start : start + 1]
    if mark == b"i":
        return _read_integer(data, start + 1)
    if mark == b"l":
        return _read_list(data, start + 1, depth)
    if mark == b"d":
        return _read_dict(data, start + 1, depth)
    return _read_string(data, start)


def _read_list(data: bytes, start: int, depth: int) -> tuple[list[BencodeValue], int]:
    values: list[BencodeValue] = []
    while data[start : start + 1] != b"e":
        value, start = _read_value(data, start, depth - 1)
        values.append(value)
    return values, start + 1


def _read_dict(data: bytes, start: int, depth: int) -> tuple[dict[bytes, BencodeValue], int]:
    values: dict[bytes, BencodeValue] = {}
    while data[start : start + 1] != b"e":
        key, start = _read_string(data, start)
        values[key], start = _read_value(data, start, depth - 1)
    return values, start + 1


def _read_string(data: bytes, start: int) -> tuple[bytes, int]:
    length, colon = _read_number(data, start)
    if data[colon : colon + 1] != b":":
        raise DecodeError("string without a colon in bencode")
    end = colon + 1 + length
    if end > len(data):
        raise DecodeError("bencode is cut off")
    return data[colon + 1 : end], end


def _read_integer(data: bytes, start: int) -> tuple[int, int]:
    is_negative = data[start : start + 1] == b"-"
    number, end = _read_number(data, start + is_negative)
    if data[end : end + 1] != b"e":
        raise DecodeError("integer without an end in bencode")
    value = -number if is_negative else number
    if not _MIN_INTEGER <= value <= _MAX_INTEGER:
        raise DecodeError("integer beyond 64 bits in bencode")
    return value, end + 1


def _read_number(data: bytes, start: int) -> tuple[int, int]:
    """The decimal digits at `start`, leading zeros allowed, and where they end."""
    end = start
    while end < len(data) and data[end] in _DIGITS:
        end += 1
    if end == start:
        raise DecodeError("digits expected in bencode")
    digits = data[start:end].lstrip(b"0")
    if len(digits) > _MAX_DIGITS:
        raise DecodeError("integer beyond 64 bits in bencode")
    return int(digits or b"0"), end


def _write_value(value: BencodeValue, pieces: list[bytes], depth: int) -> None:
    if depth == 0:
        raise UsageError("value is nested too deep for bencode")
    if isinstance(value, int):
        if not _MIN_INTEGER <= value <= _MAX_INTEGER:
            raise UsageError("integer beyond 64 bits")
        pieces.append(b"i%de" % value)
    elif isinstance(value, bytes):
        pieces.append(b"%d:%b" % (len(value), value))
    elif isinstance(value, Mapping):
        pieces.append(b"d")
        for key in sorted(value):
            pieces.append(b"%d:%b" % (len(key), key))
            _write_value(value[key], pieces, depth - 1)
        pieces.append(b"e")
    elif isinstance(value, list | tuple):
        pieces.append(b"l")
        for item in value:
            _write_value(item, pieces, depth - 1)
        pieces.append(b"e")
    else:
        raise UsageError(f"{type(value).__name__} has no bencode")
