"""Turn answers into bencode: the border between Python values and what travels.

Place     functions/* make answers -> here -> server.py sends them
Spec      docs/protocol/08 §1 and §2
Keeps     keys sorted, no padding; text is UTF-8, truth values are 1 and 0
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias, Union

from dexmesh.wire.bencode import BencodeDict, BencodeValue, encode_bencode

Value: TypeAlias = Union[int, str, bytes, "Sequence[Value]", "Mapping[str, Value]"]
Answer: TypeAlias = Mapping[str, Value]
"""What a function answers, before `txid` is put in."""

NONE = "none"  # 08 §3: the `error` of a success


def to_bencode(value: Value) -> BencodeValue:
    """The same value in bencode's types."""
    if isinstance(value, int):
        return int(value)
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes):
        return value
    if isinstance(value, Mapping):
        return to_bencode_dict(value)
    return [to_bencode(item) for item in value]


def to_bencode_dict(values: Mapping[str, Value]) -> dict[bytes, BencodeValue]:
    """The same dictionary in bencode's types."""
    return {name.encode(): to_bencode(value) for name, value in values.items()}


def encode_answer(answer: Answer, txid: bytes) -> bytes:
    """The datagram of an answer; an empty `txid` is left out."""
    message: BencodeDict = to_bencode_dict(answer)
    return encode_bencode({**message, b"txid": txid} if txid else message)
