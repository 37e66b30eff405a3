"""Hold a parsed configuration with the place of every value in its text.

Place     config/dialect.py -> here -> config/reader.py (settings), config/write.py (text)
Spec      docs/protocol/09 section 1 "The file and its JSON dialects"
Keeps     order and duplicates as written; offsets count bytes, places count lines and
          characters from 1, as editors do
Not here  what the keys mean (config/reader.py)
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import Literal

from dexmesh.errors import ConfigError, ConfigProblem
from dexmesh.values import dataclass

Dialect = Literal["strict", "lax"]


class Source:
    """A configuration text and its name, able to say where an offset is."""

    def __init__(self, data: bytes, name: str) -> None:
        self.data = data
        self.name = name
        self._line_starts: list[int] = []

    def place(self, offset: int) -> tuple[int, int]:
        """Line and column (in characters) of a byte offset, both from 1."""
        if not self._line_starts:
            ends = (index + 1 for index, byte in enumerate(self.data) if byte == 0x0A)
            self._line_starts = [0, *ends]
        line = bisect_right(self._line_starts, offset)
        before = self.data[self._line_starts[line - 1] : offset]
        return line, len(before.decode("utf-8", "replace")) + 1

    def problem(self, offset: int, message: str, hint: str = "") -> ConfigProblem:
        """A mistake at this offset."""
        line, column = self.place(offset)
        return ConfigProblem(self.name, line, column, message, hint)


@dataclass(frozen=True, slots=True)
class Text:
    """A string: `value` is what it means, `start` and `end` include the quotes."""

    start: int
    end: int
    value: bytes


@dataclass(frozen=True, slots=True)
class Number:
    """A whole number of 64 bits."""

    start: int
    end: int
    value: int


@dataclass(frozen=True, slots=True)
class Items:
    """A list; `end` is just behind the closing bracket."""

    start: int
    end: int
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """A key and its value."""

    key: Text
    value: Node


@dataclass(frozen=True, slots=True)
class Table:
    """A dictionary; `end` is just behind the closing brace. Duplicate keys are kept."""

    start: int
    end: int
    entries: tuple[Entry, ...]

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def find(self, key: bytes) -> Entry | None:
        """The first entry of that name, as cjdns v20 picks among duplicates."""
        return next((entry for entry in self.entries if entry.key.value == key), None)


@dataclass(frozen=True, slots=True)
class Broken:
    """A value that could not be read; its problem has been reported already."""

    start: int
    end: int


Node = Text | Number | Items | Table | Broken


@dataclass(frozen=True, slots=True)
class Document:
    """A text as read: usable when `problems` is empty."""

    source: Source
    root: Table
    dialect: Dialect
    problems: tuple[ConfigProblem, ...] = ()
    warnings: tuple[ConfigProblem, ...] = ()

    @property
    def version(self) -> int:
        """The integer `version` at top level; 0 when there is none."""
        return version_of(self.root)

    def require_sound(self) -> Document:
        """Itself. Raises ConfigError with every problem if there is one."""
        if self.problems:
            raise ConfigError(self.problems)
        return self


def version_of(root: Table) -> int:
    """The integer `version` of a top-level table; 0 when it has none."""
    entry = root.find(b"version")
    return entry.value.value if entry and isinstance(entry.value, Number) else 0
