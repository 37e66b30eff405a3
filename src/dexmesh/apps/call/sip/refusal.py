"""Answer a request that cannot be decoded, if enough of it can be read.

Place     transaction.py -> here
Spec      RFC 3261 §8.2, §21.4.1 (400), §21.5.6 (505); RFC 4475 §3.1.2
Keeps     no answer to an ACK, to a response, or where Via, From, To, Call-ID or CSeq is missing;
          the answer goes to the source address and is hardly longer than the request
"""

from __future__ import annotations

import re
from typing import Final

from dexmesh.apps.call.sip.build import REASONS
from dexmesh.apps.call.sip.fields import Via, parse_via
from dexmesh.apps.call.sip.headers import Headers, split_list
from dexmesh.apps.call.sip.message import BAD_VERSION, Response, encode, header_lines, split_field
from dexmesh.apps.call.sip.peer import Peer
from dexmesh.apps.call.sip.record import answer_peer
from dexmesh.errors import DecodeError

_REQUEST_LINE = re.compile(r"[ \t]*+(\S++)[ \t].*\bSIP/\d++\.\d++[ \t]*+", re.IGNORECASE | re.ASCII)
_TAG = re.compile(r";[ \t]*+tag[ \t]*+=", re.IGNORECASE)
_ONCE: Final = ("From", "To", "Call-ID", "CSeq")
_BAD_REQUEST: Final = 400
_VERSION_NOT_SUPPORTED: Final = 505


def refuse(data: bytes, reason: str, to_tag: str, peer: Peer) -> tuple[Peer, bytes] | None:
    """400 with the reason of the DecodeError (505 for another version), and where it goes.

    None where none can be made.
    """
    try:
        first, *lines = header_lines(data)[0]
        method = _REQUEST_LINE.fullmatch(first)
        if method is None or method[1] == "ACK":
            return None
        vias, fields = _copied(lines)
    except DecodeError:
        return None
    vias[0] = vias[0].with_source(peer.address, peer.port)
    if _TAG.search(fields["To"]) is None:
        fields["To"] += f";tag={to_tag}"
    status = _VERSION_NOT_SUPPORTED if reason == BAD_VERSION else _BAD_REQUEST
    text = f"{REASONS[status]}: {reason}"
    headers = Headers([*(("Via", str(via)) for via in vias), *fields.items()])
    return answer_peer(vias[0], peer), encode(Response(status, text, headers))


def _copied(lines: list[str]) -> tuple[list[Via], dict[str, str]]:
    """Every Via, and the first of each of the others; DecodeError if one is missing."""
    vias: list[Via] = []
    fields: dict[str, str] = {}
    for name, value in map(split_field, lines):
        if name == "Via":
            vias += [parse_via(text) for text in split_list(value)]
        elif name in _ONCE:
            fields.setdefault(name, value)
    if not vias or len(fields) < len(_ONCE):
        raise DecodeError("too little to answer")
    return vias, fields
