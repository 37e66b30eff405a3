"""Make requests outside of dialogs, and answers to requests.

Place     phone/ -> here -> transaction.py
Spec      RFC 3261 §8.1.1 (what a request holds), §8.2.6 (what an answer copies), §12.1.1, §21
Keeps     From, To, Call-ID, CSeq, Via and Record-Route of an answer are the request's own text
Not here  requests inside a dialog (dialog.py); Via and branch (transaction.py)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from dexmesh.apps.call.sip.headers import Field, Headers
from dexmesh.apps.call.sip.message import Request, Response

FIRST_MAX_FORWARDS: Final = 70  # RFC 3261 §8.1.1.6

_COPIED: Final = ("Via", "From", "To", "Call-ID", "CSeq")
REASONS: Final = {  # RFC 3261 §21; 489 RFC 6665, 422 RFC 4028
    100: "Trying", 180: "Ringing", 181: "Call Is Being Forwarded", 182: "Queued",
    183: "Session Progress", 200: "OK", 202: "Accepted", 300: "Multiple Choices",
    301: "Moved Permanently", 302: "Moved Temporarily", 400: "Bad Request", 401: "Unauthorized",
    403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 406: "Not Acceptable",
    408: "Request Timeout", 410: "Gone", 413: "Request Entity Too Large",
    414: "Request-URI Too Long", 415: "Unsupported Media Type", 416: "Unsupported URI Scheme",
    420: "Bad Extension", 421: "Extension Required", 480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist", 482: "Loop Detected", 483: "Too Many Hops",
    484: "Address Incomplete", 485: "Ambiguous", 486: "Busy Here", 487: "Request Terminated",
    488: "Not Acceptable Here", 489: "Bad Event", 491: "Request Pending",
    493: "Undecipherable", 500: "Server Internal Error", 501: "Not Implemented",
    503: "Service Unavailable", 504: "Server Time-out", 505: "Version Not Supported",
    513: "Message Too Large", 600: "Busy Everywhere", 603: "Decline",
    604: "Does Not Exist Anywhere", 606: "Not Acceptable",
}  # fmt: skip


def make_request(
    method: str,
    uri: str,
    *,
    from_: str,
    to: str,
    call_id: str,
    cseq: int,
    fields: Iterable[Field] = (),
    body: bytes = b"",
) -> Request:
    """A request outside of a dialog. `from_` (with its tag) and `to` are whole field values, as
    `format_name_addr` makes them; `fields` are added behind (Contact, Content-Type, ...)."""
    own = (
        ("Max-Forwards", str(FIRST_MAX_FORWARDS)),
        ("From", from_),
        ("To", to),
        ("Call-ID", call_id),
        ("CSeq", f"{cseq} {method}"),
    )
    return Request(method, uri, Headers((*own, *fields)), body)


def make_response(
    request: Request,
    status: int,
    reason: str = "",
    *,
    to_tag: str = "",
    fields: Iterable[Field] = (),
    body: bytes = b"",
) -> Response:
    """An answer. `to_tag` is added to To where it has none (needed above 100); the reason phrase
    is RFC 3261's where none is given."""
    copied = [field for field in request.headers if field[0] in _COPIED]
    if to_tag and status > 100 and not request.to.tag:
        copied = [_with_tag(field, to_tag) for field in copied]
    if request.method == "INVITE" and 100 < status < 300:
        copied += [field for field in request.headers if field[0] == "Record-Route"]
    text = reason or REASONS.get(status, "Unknown")
    return Response(status, text, Headers((*copied, *fields)), body)


def _with_tag(field: Field, tag: str) -> Field:
    name, value = field
    return (name, f"{value};tag={tag}") if name == "To" else field
