"""Record what happens in a simulated world, and draw it as a sequence diagram.

Place     world.py notes every datagram, packet and decision; conftest.py writes the diagram of a
          test that failed to tests/sim/failures/ and prints where
Keeps     the last MAX_ROWS rows; same seed, same rows
"""

from __future__ import annotations

import hashlib
from collections import deque
from dataclasses import dataclass
from pathlib import Path

MAX_ROWS = 20_000

_COLUMN = 14


@dataclass(frozen=True)
class Row:
    """One thing that happened: from whom to whom (equal: inside one node), and what."""

    at: float
    source: str
    target: str
    what: str


class Recorder:
    """The rows of one world."""

    def __init__(self) -> None:
        self.rows: deque[Row] = deque(maxlen=MAX_ROWS)
        self._digest = hashlib.sha256()

    def note(self, at: float, source: str, target: str, what: str) -> None:
        """Remember one row; every row counts for the digest, also those forgotten later."""
        row = Row(at, source, target, what)
        self.rows.append(row)
        self._digest.update(repr(row).encode())

    def digest(self) -> str:
        """The same for two runs in which the same happened."""
        return self._digest.hexdigest()

    def write(self, path: Path, names: list[str]) -> None:
        """Write the diagram: time, one column a node, an arrow for what goes between two."""
        path.parent.mkdir(parents=True, exist_ok=True)
        head = "seconds".rjust(10) + "  " + "".join(name.ljust(_COLUMN) for name in names)
        lines = [head, *(_draw(row, names) for row in self.rows)]
        path.write_text("\n".join(lines) + "\n")


def _draw(row: Row, names: list[str]) -> str:
    start, end = names.index(row.source), names.index(row.target)
    low, high = min(start, end), max(start, end)
    cells = ["|".ljust(_COLUMN) for _ in names]
    if low == high:
        cells[low] = "*".ljust(_COLUMN)
    else:
        for place in range(low, high):
            cells[place] = "-" * _COLUMN
        cells[low] = ("<" if end == low else "|") + cells[low][1:]
        cells[high] = ("|" if end == low else ">") + cells[high][1:]
    return f"{row.at:10.4f}  {''.join(cells)}  {row.source}>{row.target} {row.what}"
