"""Let SEARCH look into a message: its addresses, its subject, its text, all decoded.

Place     pymap's search asks -> here -> proto/parts.py
Spec      RFC 3501 §6.4.4
Keeps     never raises for what a sender wrote; text behind the first MAX_TEXT_BYTES of a part is not
          searched
Not here  loading (content.py); flags, dates and sizes by themselves need no content
"""

from __future__ import annotations

import email.utils
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from pymap.bytes import Writeable
from pymap.interfaces.message import LoadedMessageInterface
from pymap.parsing.specials import FetchRequirement

from dexmesh.apps.mail.imap.content import GONE, Content
from dexmesh.apps.mail.proto.parts import (
    Part,
    decode_body,
    decode_charset,
    decode_words,
    field_values,
    header_fields,
    unfold,
)

MAX_TEXT_BYTES = 1 << 20  # ours


class _Date:
    def __init__(self, when: datetime) -> None:
        self.datetime = when


class _Envelope:
    """The fields SEARCH looks at; None where there is no such field."""

    def __init__(self, searched: Searched) -> None:
        def people(name: bytes) -> Sequence[str] | None:
            return searched.get_header(name) or None

        self.date = _date(searched)
        self.subject = next(iter(searched.get_header(b"subject")), None)
        self.from_, self.to = people(b"from"), people(b"to")
        self.cc, self.bcc = people(b"cc"), people(b"bcc")


def _date(searched: Searched) -> _Date | None:
    value = next(iter(searched.get_header(b"date")), "")
    try:
        return _Date(email.utils.parsedate_to_datetime(value[:200]))
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


class Searched(LoadedMessageInterface):
    """What SEARCH may ask of a message."""

    def __init__(self, content: Content | None, requirement: FetchRequirement) -> None:
        self._content = content or GONE
        self._requirement = requirement

    @property
    def requirement(self) -> FetchRequirement:
        return self._requirement

    def __bytes__(self) -> bytes:
        return self._content.data

    def get_header(self, name: bytes) -> Sequence[str]:
        content = self._content
        found = field_values(content.data, content.tree.header, name.lower())
        return [decode_words(value) for value in found]

    def get_size(self, section: Sequence[int] | None = None) -> int:
        return self._content.size

    def get_envelope_structure(self) -> Any:
        return _Envelope(self)

    def contains(self, value: bytes) -> bool:
        wanted = value.decode("utf-8", "replace").lower()
        content = self._content
        for part in content.tree.walk():
            fields = (
                unfold(content.data[slice(*at)])
                for _, at in header_fields(content.data, part.header)
            )
            if any(wanted in decode_words(field).lower() for field in fields):
                return True
            if part.media.startswith("text/") and wanted in _text(content, part).lower():
                return True
        return False

    # FETCH answers these itself (fetch.py); pymap's search asks none of them

    def get_headers(self, section: Sequence[int]) -> Writeable:
        raise NotImplementedError

    def get_message_headers(
        self,
        section: Sequence[int] | None = None,
        subset: Collection[bytes] | None = None,
        inverse: bool = False,
    ) -> Writeable:
        raise NotImplementedError

    def get_message_text(self, section: Sequence[int] | None = None) -> Writeable:
        raise NotImplementedError

    def get_body(self, section: Sequence[int] | None = None, binary: bool = False) -> Writeable:
        raise NotImplementedError

    def get_body_structure(self) -> Any:
        raise NotImplementedError


def _text(content: Content, part: Part) -> str:
    start, end = part.body
    short = Part(part.header, (start, min(end, start + MAX_TEXT_BYTES)), part.media)
    charset = part.parameters.get("charset", "utf-8")
    return decode_charset(decode_body(content.data, short), charset)
