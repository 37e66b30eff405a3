"""Say what body a message carries, as far as calls are concerned.

Place     calls.py, outgoing.py, incoming.py, changes.py -> here
Spec      RFC 3261 §7.4, §20.11, §20.12, §21.4.13 (415); RFC 6086 (INFO)
Keeps     a body is what Content-Type says; without one, a description if it begins like one
Not here  texts (contents.py), keys (digits.py), what a description means (media/)
"""

from __future__ import annotations

from typing import Final

from dexmesh.apps.call.media.sdp import CONTENT_TYPE
from dexmesh.apps.call.sip.headers import Field
from dexmesh.apps.call.sip.message import Request, Response

SDP_FIELD: Final[Field] = ("Content-Type", CONTENT_TYPE)
ACCEPT_SDP: Final[Field] = ("Accept", CONTENT_TYPE)
ACCEPT_ENCODING: Final[Field] = ("Accept-Encoding", "identity")


def sdp_in(message: Request | Response) -> bytes | None:
    """The session description; None if there is no body, or one of another type."""
    if not message.body:
        return None
    found = message.content_type
    is_sdp = message.body.startswith(b"v=0") if found is None else found.kind == CONTENT_TYPE
    return message.body if is_sdp else None


def is_encoded(request: Request) -> bool:
    """Whether the body is packed in a way that we do not read."""
    codings = request.headers.all("Content-Encoding")
    return bool(request.body) and any(one.lower() != "identity" for one in codings)


def has_foreign_body(request: Request) -> bool:
    """Whether the body of an INVITE or UPDATE is something else than a session description."""
    return bool(request.body) and sdp_in(request) is None
