"""Read a dictionary key by key, noting every mistake instead of stopping at the first.

Place     config/reader.py and its sections -> here -> config/document.py
Spec      docs/protocol/09 section 2 "Keys"
Keeps     a wrong value is noted once, with its place, and read as absent; keys nobody asked
          for are warned about once a name, however often they occur
Not here  which keys exist and what they mean (config/reader.py, config/peers.py)
"""

from __future__ import annotations

from collections.abc import Iterator

from dexmesh.config.document import Document, Entry, Items, Node, Number, Table, Text
from dexmesh.config.scanner import MAX_NOTES
from dexmesh.errors import ConfigProblem

DISABLED_PREFIX = b"_disabled_"  # how cjdns writes a key that is switched off

_MAX_UNKNOWN = 200  # ours: different unknown keys that are told apart


class Checker:
    """What is wrong with one document, and what is odd about it."""

    def __init__(self, document: Document) -> None:
        self.problems: list[ConfigProblem] = list(document.problems)
        self.warnings: list[ConfigProblem] = list(document.warnings)
        self._source = document.source
        self._unknown: dict[tuple[str, bytes], list[int]] = {}
        self._known: dict[str, set[bytes]] = {}

    def wrong(self, offset: int, message: str, hint: str = "") -> None:
        """Note a mistake: the configuration cannot be used."""
        if len(self.problems) < MAX_NOTES:
            self.problems.append(self._source.problem(offset, message, hint))

    def warn(self, offset: int, message: str, hint: str = "") -> None:
        """Note something that works, but perhaps not as meant."""
        if len(self.warnings) < MAX_NOTES:
            self.warnings.append(self._source.problem(offset, message, hint))

    def line(self, offset: int) -> int:
        """The line of an offset, for messages that point at a second place."""
        return self._source.place(offset)[0]

    def note_unknown(self, kind: str, key: bytes, offset: int, known: set[bytes]) -> None:
        """Remember a key nobody asked for; `kind` names the sort of dictionary it was in."""
        if len(self._unknown) < _MAX_UNKNOWN or (kind, key) in self._unknown:
            self._unknown.setdefault((kind, key), []).append(offset)
            self._known.setdefault(kind, set()).update(known)

    def finish(self) -> None:
        """Turn the remembered keys into warnings."""
        for (kind, key), offsets in self._unknown.items():
            shown = key.decode("utf-8", "replace")
            often = f" ({len(offsets)} times)" if len(offsets) > 1 else ""
            message = f'unknown key "{shown}" in {kind} is ignored{often}'
            self.warn(offsets[0], message, _did_you_mean(shown, self._known[kind]))
        self.warnings.sort(key=lambda warning: (warning.line, warning.column))
        self.problems.sort(key=lambda problem: (problem.line, problem.column))


def _did_you_mean(key: str, known: set[bytes]) -> str:
    from difflib import get_close_matches  # slow to import, needed for odd files only

    close = get_close_matches(key, sorted(name.decode() for name in known), n=1, cutoff=0.75)
    return f'Did you mean "{close[0]}"?' if close else ""


class Keys:
    """A dictionary of the file while it is read. `kind` is what messages call it."""

    def __init__(self, checker: Checker, table: Table, kind: str) -> None:
        self.checker = checker
        self.start = table.start
        self._kind = kind
        self._table = table
        self._asked: set[bytes] = set()

    def node(self, key: str) -> Node | None:
        """The raw value of a key, or None."""
        name = key.encode()
        self._asked.add(name)
        entry = self._table.find(name)
        return entry.value if entry else None

    def has(self, key: str) -> bool:
        """Whether the key is there, with whatever value."""
        return self.node(key) is not None

    def place(self, key: str) -> int:
        """Where the value of a key is; where the dictionary begins when there is none."""
        node = self.node(key)
        return node.start if node else self.start

    def ignore(self, *keys: str) -> None:
        """These are known, though not used."""
        self._asked.update(key.encode() for key in keys)

    def octets(self, key: str) -> bytes | None:
        """A string, as bytes."""
        match self.node(key):
            case Text(value=value):
                return value
            case other:
                self._reject(key, other, "text", 'Write it in double quotes: "..."')
                return None

    def text(self, key: str) -> str | None:
        """A string, as text; bytes that are no UTF-8 are replaced."""
        value = self.octets(key)
        return None if value is None else value.decode("utf-8", "replace")

    def integer(self, key: str, lowest: int, highest: int) -> int | None:
        """A whole number in a range, both ends included."""
        match self.node(key):
            case Number(start=start, value=value):
                if lowest <= value <= highest:
                    return value
                hint = f"It must be between {lowest} and {highest}."
                self.checker.wrong(start, f"{key} is out of range", hint)
            case Text() as text:
                self._reject(key, text, "a whole number", "Write it without quotes.")
            case other:
                self._reject(key, other, "a whole number", "")
        return None

    def is_set(self, key: str, *, default: bool) -> bool:
        """A switch: 0 is off, any other number is on."""
        value = self.integer(key, -(1 << 63), (1 << 63) - 1)
        return default if value is None else value != 0

    def table(self, key: str, kind: str) -> Keys | None:
        """A dictionary."""
        match self.node(key):
            case Table() as table:
                return Keys(self.checker, table, kind)
            case other:
                self._reject(key, other, "a dictionary", "Write { ... }.")
                return None

    def tables(self, key: str, kind: str, *, single_too: bool = False) -> list[Keys]:
        """The dictionaries of a list; with `single_too` also one that stands there alone."""
        node = self.node(key)
        if single_too and isinstance(node, Table):
            return [Keys(self.checker, node, kind)]
        found = []
        for item in self._items(key, node, "dictionaries"):
            if isinstance(item, Table):
                found.append(Keys(self.checker, item, kind))
            else:
                self._reject(f"every element of {key}", item, "a dictionary", "Write { ... }.")
        return found

    def texts(self, key: str) -> list[Text]:
        """The strings of a list."""
        found = []
        for item in self._items(key, self.node(key), "texts"):
            if isinstance(item, Text):
                found.append(item)
            else:
                hint = 'Write it in double quotes: "..."'
                self._reject(f"every element of {key}", item, "text", hint)
        return found

    def entries(self, key: str) -> Iterator[tuple[Text, Node]]:
        """The pairs of a dictionary whose keys are not names but data; a repeated key once."""
        match self.node(key):
            case Table() as table:
                for entry in self._without_duplicates(table):
                    if not entry.key.value.startswith(DISABLED_PREFIX):
                        yield entry.key, entry.value
            case other:
                self._reject(key, other, "a dictionary", "Write { ... }.")

    def finish(self) -> None:
        """Warn about what nobody asked for."""
        for entry in self._without_duplicates(self._table):
            name = entry.key.value
            if name not in self._asked and not name.startswith(DISABLED_PREFIX):
                self.checker.note_unknown(self._kind, name, entry.key.start, self._asked)

    def _without_duplicates(self, table: Table) -> Iterator[Entry]:
        seen: dict[bytes, int] = {}
        for entry in table:
            first = seen.setdefault(entry.key.value, entry.key.start)
            if first == entry.key.start:
                yield entry
                continue
            shown = entry.key.value.decode("utf-8", "replace")
            self.checker.warn(
                entry.key.start,
                f'"{shown}" is here a second time; only the first, '
                f"in line {self.checker.line(first)}, counts",
                "cjdns before version 22 takes the first, later ones take the last.",
            )

    def _items(self, key: str, node: Node | None, of_what: str) -> tuple[Node, ...]:
        if isinstance(node, Items):
            return node.items
        self._reject(key, node, f"a list of {of_what}", "Write [ ... ].")
        return ()

    def _reject(self, key: str, node: Node | None, wanted: str, hint: str) -> None:
        """Note a value of the wrong sort; absent and broken ones are nothing new."""
        if isinstance(node, Text | Number | Items | Table):
            self.checker.wrong(node.start, f"{key} must be {wanted}", hint)
