"""Write a document as text that every version of cjdns reads.

Place     cli/ (`--cleanconf`, `dexmesh config clean`), config/edit.py -> here
Spec      docs/protocol/09 section 1.5 "--cleanconf", section 1.4 "Rule for ours"
Keeps     first byte {, no trailing comma, no escape but \\xHH; the order of the file
Not here  a new configuration with comments (config/generate.py)
"""

from __future__ import annotations

from dexmesh.config.dialect import STRICT_SINCE
from dexmesh.config.document import Broken, Document, Entry, Items, Node, Number, Table, Text
from dexmesh.errors import UsageError

_PLAIN = frozenset(range(0x20, 0x7E)) - {0x22, 0x5C}


def clean(document: Document) -> str:
    """The document as `cjdroute --cleanconf` of v20.7 prints it, ending in a newline.

    Raises ConfigError if the document has problems.
    """
    document.require_sound()
    return _write(_with_version(document.root), "") + "\n"


def quote(value: bytes) -> str:
    """A string as the file has it, quotes included."""
    return '"' + "".join(chr(byte) if byte in _PLAIN else f"\\x{byte:02X}" for byte in value) + '"'


def _with_version(root: Table) -> Table:
    """The same, saying that it follows the strict grammar: `"version" : 2`, at least."""
    written = root.find(b"version")
    if written is None:
        key = Text(root.end, root.end, b"version")
        entry = Entry(key, Number(root.end, root.end, STRICT_SINCE))
        return Table(root.start, root.end, (*root.entries, entry))
    if isinstance(written.value, Number) and written.value.value >= STRICT_SINCE:
        return root
    renewed = Entry(written.key, Number(written.value.start, written.value.end, STRICT_SINCE))
    entries = tuple(renewed if entry is written else entry for entry in root.entries)
    return Table(root.start, root.end, entries)


def _write(node: Node, indent: str) -> str:
    inner = indent + "  "
    match node:
        case Text(value=text):
            return quote(text)
        case Number(value=number):
            return str(number)
        case Table(entries=entries):
            lines = [f"{quote(e.key.value)} : {_write(e.value, inner)}" for e in entries]
            return _block("{", lines, "}", indent)
        case Items(items=items):
            return _block("[", [_write(item, inner) for item in items], "]", indent)
        case Broken():
            raise UsageError("a document with problems cannot be written")


def _block(opening: str, lines: list[str], closing: str, indent: str) -> str:
    """Elements on lines of their own; an empty block has an empty line, as in v20.7."""
    body = ",\n".join(f"{indent}  {line}" for line in lines)
    return f"{opening}\n{body}\n{indent}{closing}"
