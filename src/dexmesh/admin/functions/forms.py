"""Write and read the forms that several functions share: nodes, schemes, targets, times.

Place     functions/* -> here
Spec      docs/protocol/08 §6.1 (encodingScheme), §6.5 (what may stand for a node)
"""

from __future__ import annotations

from collections.abc import Iterable

from dexmesh.admin.services import QueryTarget
from dexmesh.admin.values import NONE, Answer, Value
from dexmesh.errors import AdminError, DecodeError
from dexmesh.wire.address import Address, parse_address
from dexmesh.wire.keys import PublicKey, decode_key
from dexmesh.wire.label import Label, parse_label
from dexmesh.wire.node_address import NodeAddress, format_node_address, parse_node_address
from dexmesh.wire.scheme import EncodingScheme

OK: Answer = {"error": NONE}
ADDRESS_CHARACTERS = 39  # 08 §6.5: eight groups of four digits

LONGEST_TIMEOUT_MS = 25_000  # ours: a caller is tracked for 30 s


def describe_scheme(scheme: EncodingScheme) -> list[Value]:
    """`encodingScheme`: one dictionary a form, the prefix as hex."""
    return [
        {
            "bitCount": form.bit_count,
            "prefix": form.prefix.to_bytes(max((form.prefix_len + 7) // 8, 1), "big").hex(),
            "prefixLen": form.prefix_len,
        }
        for form in scheme.forms
    ]


def describe_nodes(nodes: Iterable[NodeAddress]) -> list[Value]:
    """A list of `vN.LABEL.KEY.k`."""
    return [format_node_address(node) for node in nodes]


def read_address(text: str, refusal: str) -> Address:
    """The IPv6 address in `text`; AdminError with the function's own words if it is none."""
    try:
        return parse_address(text)
    except DecodeError:
        raise AdminError(refusal) from None


def read_label(text: str, refusal: str) -> Label:
    """The label in `text`; AdminError with the function's own words if it is none."""
    try:
        return parse_label(text)
    except DecodeError:
        raise AdminError(refusal) from None


def read_key(text: str) -> PublicKey:
    """The node key in `text`; AdminError with a text of 08 §6.8 if it is none."""
    try:
        return decode_key(text)
    except DecodeError as error:
        raise AdminError(error.reason) from None


def read_target(text: str) -> QueryTarget:
    """A label, an IPv6 address, or `vN.LABEL.KEY.k`; AdminError `parse_path` for anything else."""
    for parse in (parse_label, parse_address, parse_node_address):
        try:
            return parse(text)
        except DecodeError:
            continue
    raise AdminError("parse_path")


def read_timeout_s(milliseconds: int | None, default_ms: int) -> float:
    """How long to wait: the default if nothing, or nothing above 0, is asked for."""
    asked = milliseconds if milliseconds is not None and milliseconds > 0 else default_ms
    return min(asked, LONGEST_TIMEOUT_MS) / 1000
