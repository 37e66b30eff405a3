"""Do arithmetic on labels: the 64-bit routes of the switch layer.

Place     mesh/ joins and cuts routes with this; scheme.py knows the directors inside
Spec      docs/protocol/03 §4
Keeps     every result is a 64-bit number; a route that does not fit is None, never cut off
Not here  interface numbers and encoding schemes (scheme.py)
"""

from __future__ import annotations

import re
from typing import NewType

from dexmesh.errors import DecodeError

Label = NewType("Label", int)
"""A 64-bit source route. Bit 0 is the least significant bit."""

NO_LABEL = Label(0)  # 03 §4.1: no route
SELF_LABEL = Label(1)  # 03 §4.1: the route to oneself
LABEL_BYTES = 8
MAX_LABEL_BITS = 59  # 03 §4.2: director bits in the longest label
MAX_LABEL = Label((1 << (MAX_LABEL_BITS + 1)) - 1)

_MASK_64 = (1 << 64) - 1
_TEXT = re.compile(r"[0-9a-f]{4}(?:\.[0-9a-f]{4}){3}", re.IGNORECASE | re.ASCII)


def format_label(label: Label) -> str:
    """Four groups of four hex digits: `0000.0000.0000.0133`."""
    digits = f"{label:016x}"
    return ".".join(digits[start : start + 4] for start in range(0, 16, 4))


def parse_label(text: str) -> Label:
    """The label written in `text`; `DecodeError` unless it is four groups of four hex digits."""
    if _TEXT.fullmatch(text) is None:
        raise DecodeError("not a label")
    return Label(int(text.replace(".", ""), 16))


def encode_label(label: Label) -> bytes:
    """Eight bytes, big-endian."""
    return label.to_bytes(LABEL_BYTES, "big")


def decode_label(data: bytes) -> Label:
    """The label in eight bytes; `DecodeError` for any other length."""
    if len(data) != LABEL_BYTES:
        raise DecodeError("label is not 8 bytes")
    return Label(int.from_bytes(data, "big"))


def label_length(label: Label) -> int:
    """log2: how many bits of directors lie below the end marker; 0 for no route."""
    return max(label.bit_length() - 1, 0)


def splice(go_here: Label, via_here: Label) -> Label | None:
    """Go to the end of `via_here`, then follow `go_here` (03 §4.2).

    None when it does not fit, or when one of them is no route.
    """
    if NO_LABEL in (go_here, via_here):
        return None
    via_bits = label_length(via_here)
    if label_length(go_here) + via_bits > MAX_LABEL_BITS:
        return None
    return Label(((go_here ^ 1) << via_bits) ^ via_here)


def routes_through(full: Label, middle: Label) -> bool:
    """Whether the route `full` begins with the route `middle` (03 §4.2)."""
    if middle > full:
        return False
    if middle <= SELF_LABEL:
        return True
    return (full ^ middle) & ((1 << label_length(middle)) - 1) == 0


def unsplice(full: Label, middle: Label) -> Label:
    """The rest of `full` seen from the end of `middle`; meaningful if `routes_through`."""
    return Label(full >> label_length(middle))


def reverse64(label: Label) -> Label:
    """The label with bit i moved to bit 63-i: turns a way back into a path label (03 §7)."""
    return Label(int(f"{label & _MASK_64:064b}"[::-1], 2))
