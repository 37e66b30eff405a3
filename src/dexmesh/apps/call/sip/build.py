"""Make requests outside of dialogs, and answers to requests.

Place     phone/ -> here -> transaction.py
Spec      RFC 3261 §8.1.1 (what a request holds), §8.2.6 (what an answer copies), §12.1.1
Keeps     From, To, Call-ID, CSeq, Via and Record-Route of an answer are the request's own text
Not here  requests inside a dialog (dialog.py); Via and branch (transaction.py)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from dexmesh.apps.call.sip.headers import Field
from dexmesh.apps.call.sip.message import Request, Response

FIRST_MAX_FORWARDS: Final = 70  # RFC 3261 §8.1.1.6


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
    raise NotImplementedError


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
    raise NotImplementedError
