"""Read every dialect of cjdroute.conf into one document.

Place     cli/ and config/reader.py hand in bytes -> here -> config/document.py
Spec      docs/protocol/09 section 1 "The file and its JSON dialects", 1.4 "Rule for ours"
Keeps     accepts what cjdns v20 accepts, with the same result; never raises, for any bytes:
          mistakes are in `Document.problems`
Not here  strings and numbers (config/scanner.py), the meaning of keys (config/reader.py)
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod

from dexmesh.config.document import (
    Dialect,
    Document,
    Entry,
    Items,
    Node,
    Source,
    Table,
    version_of,
)
from dexmesh.config.scanner import Scanner, ScanStopped

MAX_DEPTH = 64  # ours: real files use six levels
STRICT_SINCE = 2  # from this `version` on only the strict grammar counts

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_BLANK_BYTES = b" \t\r\n"
_BRACE = re.compile(rb"\{")
_COLON = re.compile(rb":")
_KEY_OR_END = re.compile(rb'["}]')
_VALUE_OR_END = re.compile(rb'["\[{\]]|-?[0-9]|(?:true|false|null)\b')


def read_document(data: bytes, name: str) -> Document:
    """The document in these bytes; `name` is what problems call the file.

    Strict first; where that fails the lax grammar of old files decides, unless the file says
    `"version": 2` or more (09 section 1.2).
    """
    source = Source(data, name)
    strict = _StrictReader(source)
    strict.run()
    if strict.scan.problems:
        lax = _LaxReader(source)
        lax.run()
        if lax.reached_end and version_of(lax.root) < STRICT_SINCE:
            return lax.document("lax")
    return strict.document("strict")


class _Reader(ABC):
    """What both grammars share: nesting. They differ in what may stand between elements."""

    def __init__(self, source: Source, *, multi_line_text: bool) -> None:
        self.scan = Scanner(source, multi_line_text=multi_line_text)
        self.reached_end = False
        self._start = 0
        self._entries: list[Entry] = []  # of the top level, kept when reading stops half-way

    @property
    def root(self) -> Table:
        return Table(self._start, self.scan.at, tuple(self._entries))

    def run(self) -> None:
        """Read all of it, as far as it can be read."""
        try:
            self._begin()
            self._start = self.scan.at
            self._table_into(self._entries, 1)
            self.reached_end = True
        except ScanStopped:
            return

    def document(self, dialect: Dialect) -> Document:
        """What was read, with a word about old and odd files."""
        root = self.root
        if self.reached_end:
            self._warn_about_tail()
            if version_of(root) < STRICT_SINCE:
                self.scan.warn(
                    root.start,
                    'no "version": 2 in this file: it is read by the rules for old files',
                    "`cjdroute --cleanconf` or `dexmesh config clean` writes it the new way.",
                )
        scan = self.scan
        return Document(scan.source, root, dialect, tuple(scan.problems), tuple(scan.warnings))

    @abstractmethod
    def _begin(self) -> None:
        """Go to the opening brace."""

    @abstractmethod
    def _to_element(self, start: int, closing: bytes, *, first: bool) -> bool:
        """Go to the next key or value; False, behind the closing bracket, when there is none.

        `start` is where the bracket was opened, `first` says that nothing was read in it yet.
        """

    @abstractmethod
    def _to_value(self) -> None:
        """Go from behind a key to its value."""

    def _value(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise self.scan.stop(self.scan.at, f"nested deeper than {MAX_DEPTH} levels")
        match self.scan.peek():
            case b'"':
                return self.scan.take_text()
            case b"{":
                start = self.scan.at
                entries: list[Entry] = []
                self._table_into(entries, depth)
                return Table(start, self.scan.at, tuple(entries))
            case b"[":
                return self._items(depth)
            case _:
                return self.scan.take_scalar()

    def _table_into(self, entries: list[Entry], depth: int) -> None:
        start = self.scan.at
        self.scan.at += 1
        while self._to_element(start, b"}", first=not entries):
            key = self.scan.take_text()
            self._to_value()
            entries.append(Entry(key, self._value(depth + 1)))

    def _items(self, depth: int) -> Items:
        start = self.scan.at
        self.scan.at += 1
        items: list[Node] = []
        while self._to_element(start, b"]", first=not items):
            items.append(self._value(depth + 1))
        return Items(start, self.scan.at, tuple(items))

    def _unclosed(self, start: int, closing: bytes) -> ScanStopped:
        opened = "dictionary" if closing == b"}" else "list"
        hint = f"Add the missing {closing.decode()}"
        return self.scan.stop(start, f"this {opened} is never closed", hint)

    def _warn_about_tail(self) -> None:
        tail = self.scan.source.data[self.scan.at :]
        if blank := tail.lstrip(_BLANK_BYTES):
            offset = len(self.scan.source.data) - len(blank)
            if not blank.startswith((b"//", b"/*")):
                self.scan.warn(offset, "text behind the last } is ignored")


class _StrictReader(_Reader):
    """One comma between elements and no other; white space and comments anywhere."""

    def __init__(self, source: Source) -> None:
        super().__init__(source, multi_line_text=False)

    def _begin(self) -> None:
        if self.scan.source.data.startswith(_BYTE_ORDER_MARK):
            self.scan.at = len(_BYTE_ORDER_MARK)
        self.scan.skip_blank()
        if self.scan.peek() == b"":
            hint = "`cjdroute --genconf` or `dexmesh config new` writes a configuration."
            raise self.scan.stop(self.scan.at, "this file is empty", hint)
        if self.scan.peek() != b"{":
            hint = "A configuration is one dictionary: { ... }"
            raise self.scan.stop(self.scan.at, "a configuration begins with {", hint)

    def _to_element(self, start: int, closing: bytes, *, first: bool) -> bool:
        self.scan.skip_blank()
        commas = self._skip_commas()
        match self.scan.peek():
            case b"":
                raise self._unclosed(start, closing)
            case byte if byte == closing:
                if commas:
                    hint = f"Remove the comma before {closing.decode()}"
                    self.scan.note(commas[-1], "a comma with nothing behind it", hint)
                self.scan.at += 1
                return False
            case byte if closing == b"}" and byte != b'"':
                hint = 'Every key stands in double quotes: "key": value'
                raise self.scan.stop(self.scan.at, 'a key in " is expected here', hint)
        if not first and not commas:
            self.scan.note(self.scan.at, "a comma is missing before this", "Put , between them.")
        for extra in commas if first else commas[1:]:
            self.scan.note(extra, "one comma too many", "Remove it.")
        return True

    def _skip_commas(self) -> list[int]:
        """Where the commas stand that come next."""
        commas = []
        while self.scan.peek() == b",":
            commas.append(self.scan.at)
            self.scan.at += 1
            self.scan.skip_blank()
        return commas

    def _to_value(self) -> None:
        self.scan.skip_blank()
        if self.scan.peek() != b":":
            raise self.scan.stop(self.scan.at, "a : is missing behind the key", '"key": value')
        self.scan.at += 1
        self.scan.skip_blank()


class _LaxReader(_Reader):
    """The rules for old files: whatever is not understood between elements is skipped."""

    def __init__(self, source: Source) -> None:
        super().__init__(source, multi_line_text=True)

    def _begin(self) -> None:
        self._skip_until(_BRACE)
        if self.scan.peek() == b"":
            raise self.scan.stop(0, "there is no { in this file")

    def _to_element(self, start: int, closing: bytes, *, first: bool) -> bool:
        del first
        self._skip_until(_KEY_OR_END if closing == b"}" else _VALUE_OR_END)
        if self.scan.peek() == b"":
            raise self._unclosed(start, closing)
        if self.scan.peek() == closing:
            self.scan.at += 1
            return False
        return True

    def _to_value(self) -> None:
        start = self.scan.at
        self._skip_until(_COLON)
        if self.scan.peek() == b"":
            raise self.scan.stop(start, "a : is missing behind the key", '"key": value')
        self.scan.at += 1
        self.scan.skip_blank()

    def _skip_until(self, wanted: re.Pattern[bytes]) -> None:
        """Go to what is wanted or to the end, with a word about what was skipped."""
        skipped_at = None
        self.scan.skip_blank()
        while self.scan.peek() and not wanted.match(self.scan.source.data, self.scan.at):
            if self.scan.peek() != b"," and skipped_at is None:
                skipped_at = self.scan.at
            if not self.scan.skip_word():
                self.scan.at += 1
            self.scan.skip_blank()
        if skipped_at is not None:
            self.scan.warn(skipped_at, "this was not understood and is skipped")
