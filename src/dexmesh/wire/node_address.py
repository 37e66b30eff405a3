"""Read and write the one-line form of a node: version, label and key in one word.

Place     admin replies and command-line arguments -> here
Spec      docs/protocol/08 §6.3.1 (`addr`)
Keeps     one text form per value: no leading zeros in the version, lower-case digits
"""

from __future__ import annotations

import re

from dexmesh.errors import DecodeError
from dexmesh.values import dataclass
from dexmesh.wire.keys import PublicKey, decode_key, encode_key
from dexmesh.wire.label import Label, format_label, parse_label

_TEXT = re.compile(r"v(0|[1-9][0-9]{0,9})\.([0-9a-fA-F.]{19})\.(.{54})", re.ASCII)


@dataclass(frozen=True, slots=True)
class NodeAddress:
    """A node and a way to it. `version` 0: the node has not spoken yet."""

    key: PublicKey
    label: Label
    version: int


def format_node_address(node: NodeAddress) -> str:
    """`v20.0000.0000.0000.0013.KEY.k`."""
    return f"v{node.version}.{format_label(node.label)}.{encode_key(node.key)}"


def parse_node_address(text: str) -> NodeAddress:
    """The node written in `text`; `DecodeError` says which part is wrong."""
    match = _TEXT.fullmatch(text)
    if match is None:
        raise DecodeError("not a node address")
    version, label, key = match.groups()
    return NodeAddress(decode_key(key), parse_label(label), int(version))
