"""Read and write inter-router messages: the questions nodes ask each other, and the answers.

Place     engine RoutingMessage -> decode_message -> mesh/; encode_message -> SendInner -> engine
Spec      docs/protocol/06 §1-5
Keeps     what v20.7 would drop raises `DecodeError`; a foreign txid survives byte for byte;
          entries of a reply that nobody could use are left out
Not here  what to answer (mesh/dht/), who sent it (the session), supernodes (docs/protocol/07)
"""

from __future__ import annotations

from typing import Final, TypeAlias

from dexmesh.errors import DecodeError, UsageError
from dexmesh.values import dataclass
from dexmesh.wire.address import ADDRESS_BYTES, Address
from dexmesh.wire.bencode import BencodeDict, BencodeValue, decode_bencode_dict, encode_bencode
from dexmesh.wire.keys import KEY_BYTES, PublicKey, is_node_key
from dexmesh.wire.label import LABEL_BYTES, NO_LABEL, Label, decode_label, encode_label
from dexmesh.wire.scheme import V358, EncodingScheme, decode_scheme, encode_scheme
from dexmesh.wire.versions import is_compatible

PING: Final = b"pn"  # 06 §4
FIND_NODE: Final = b"fn"  # 06 §4
GET_PEERS: Final = b"gp"  # 06 §4
NEXT_HOP: Final = b"nh"  # 06 §4

TXID_PREFIX: Final = b"0"  # 06 §2: how our own transaction ids begin
MAX_NODES: Final = 8  # 06 §4: entries in a reply
MAX_MESSAGE_BYTES: Final = 4096  # ours; cjdns writes at most 2048 (06 §1)

_SUBNODE_PREFIX = b"1"  # 06 §2: the half that does not look at `es` and `ei`
_ENTRY_BYTES = KEY_BYTES + LABEL_BYTES
_MAX_VERSION_BYTES = 4  # 06 §5
_MAX_VERSION = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class NodeEntry:
    """One node in a reply. `label` leads there from the replying node (06 §4.1)."""

    key: PublicKey
    label: Label
    version: int


@dataclass(frozen=True, slots=True)
class Query:
    """A question. `kind` is `PING`, `FIND_NODE`, `GET_PEERS`, `NEXT_HOP` or something unknown.

    `version` is the sender's as announced; `form` the form its path to the receiver begins with,
    in its own `scheme`, None when it did not say.
    """

    txid: bytes
    kind: bytes
    version: int
    scheme: EncodingScheme = V358
    form: int | None = 0
    target: bytes | None = None

    def target_address(self) -> Address | None:
        """The target of `fn` and `nh`; None unless it is 16 bytes: answer with an empty reply."""
        if self.target is None or len(self.target) != ADDRESS_BYTES:
            return None
        return Address(self.target)

    def target_label(self) -> Label | None:
        """The target of `gp`; None unless it is 8 bytes: answer with an empty reply."""
        if self.target is None or len(self.target) != LABEL_BYTES:
            return None
        return decode_label(self.target)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. `nodes` come farthest first, nearest last (06 §6.1); empty answers a ping."""

    txid: bytes
    version: int
    scheme: EncodingScheme = V358
    form: int | None = 0
    nodes: tuple[NodeEntry, ...] = ()


RoutingMessage: TypeAlias = Query | Reply


def encode_message(message: RoutingMessage) -> bytes:
    """The content of type 256: sorted keys, no padding (06 §1)."""
    values: dict[bytes, BencodeValue] = {
        b"es": encode_scheme(message.scheme),
        b"p": message.version,
        b"txid": message.txid,
    }
    if message.form is not None:
        values[b"ei"] = message.form
    if isinstance(message, Query):
        values[b"q"] = message.kind
        if message.target is not None:
            values[b"tar"] = message.target
    elif message.nodes:
        values[b"n"] = b"".join(node.key + encode_label(node.label) for node in message.nodes)
        values[b"np"] = encode_versions([node.version for node in message.nodes])
    return encode_bencode(values)


def decode_message(content: bytes) -> RoutingMessage:
    """The message in the content of type 256, judged like the reference does (06 §3).

    Raises `DecodeError` for what v20.7 drops. Values of the wrong type count as missing. A reply
    whose node list is damaged is an empty reply.
    """
    values = decode_bencode_dict(content, allow_trailing=True, max_bytes=MAX_MESSAGE_BYTES)
    txid = _string(values, b"txid")
    if txid is None:
        raise DecodeError("routing message without txid")
    version = values.get(b"p")
    if not isinstance(version, int):
        raise DecodeError("routing message without version")
    if not is_compatible(version) or version > _MAX_VERSION:
        raise DecodeError("routing message of an incompatible version")
    scheme, form = _read_scheme(values, is_strict=not txid.startswith(_SUBNODE_PREFIX))
    kind = _string(values, b"q")
    if kind is not None:
        return Query(txid, kind, version, scheme, form, _string(values, b"tar"))
    if _string(values, b"sq") is not None:
        raise DecodeError("supernode query")
    return Reply(txid, version, scheme, form, _read_nodes(values))


def encode_versions(versions: list[int]) -> bytes:
    """The `np` list: one byte for the width, then each version in that many bytes (06 §5)."""
    largest = max(versions, default=0)
    if min(versions, default=0) < 0 or largest > _MAX_VERSION:
        raise UsageError("version beyond 32 bits")
    width = max((largest.bit_length() + 7) // 8, 1)
    return bytes((width,)) + b"".join(version.to_bytes(width, "big") for version in versions)


def decode_versions(data: bytes) -> list[int]:
    """The versions in an `np` list; `DecodeError` when it has no such form (06 §5)."""
    if not data or not 1 <= data[0] <= _MAX_VERSION_BYTES:
        raise DecodeError("version list of unknown width")
    width = data[0]
    if (len(data) - 1) % width:
        raise DecodeError("version list is cut off")
    return [
        int.from_bytes(data[start : start + width], "big") for start in range(1, len(data), width)
    ]


def _read_scheme(values: BencodeDict, is_strict: bool) -> tuple[EncodingScheme, int | None]:
    """`es` and `ei`. The subnode half of a node does not look at them, so it is not strict."""
    encoded = _string(values, b"es")
    form = values.get(b"ei")
    try:
        scheme = V358 if encoded is None else decode_scheme(encoded)
        if not isinstance(form, int):
            raise DecodeError("routing message without form")
        if not 0 <= form < len(scheme.forms):
            raise DecodeError("routing message with a form outside its scheme")
    except DecodeError:
        if is_strict:
            raise
        return V358, None
    return scheme, form


def _read_nodes(values: BencodeDict) -> tuple[NodeEntry, ...]:
    """The usable entries of `n` with their versions from `np`; none if either is damaged."""
    packed, versions = _string(values, b"n"), _string(values, b"np")
    if packed is None or versions is None or len(packed) % _ENTRY_BYTES:
        return ()
    try:
        numbers = decode_versions(versions)
    except DecodeError:
        return ()
    if len(numbers) * _ENTRY_BYTES != len(packed):
        return ()
    entries = (
        _read_entry(packed[place * _ENTRY_BYTES : (place + 1) * _ENTRY_BYTES], version)
        for place, version in enumerate(numbers)
    )
    return tuple(entry for entry in entries if entry.label != NO_LABEL and is_node_key(entry.key))


def _read_entry(packed: bytes, version: int) -> NodeEntry:
    return NodeEntry(PublicKey(packed[:KEY_BYTES]), decode_label(packed[KEY_BYTES:]), version)


def _string(values: BencodeDict, name: bytes) -> bytes | None:
    value = values.get(name)
    return value if isinstance(value, bytes) else None
