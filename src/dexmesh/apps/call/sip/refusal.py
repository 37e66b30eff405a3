"""Answer a request that cannot be decoded, if enough of it can be read.

Place     transaction.py -> here
Spec      RFC 3261 §8.2, §21.4.1 (400), §21.5.6 (505); RFC 4475 §3.1.2
Keeps     no answer to an ACK, to a response, or where Via, From, To, Call-ID or CSeq is unreadable
"""

from __future__ import annotations

from dexmesh.apps.call.sip.message import Response


def refuse(data: bytes, reason: str, to_tag: str) -> Response | None:
    """400 with the reason of the DecodeError (505 for another version); None where none can be made."""
    raise NotImplementedError
