"""Lay out rows for a terminal: a table where it fits, else a short paragraph for each row.

Place     cli/output.py has rows and the width of the terminal -> here -> lines of text
Spec      ours
Keeps     no word is broken, so that an address can be read and copied, except in `loose` columns, in
          which a stranger writes what he likes; linear in the text
Not here  whether it is a terminal, and what may be printed on it (output.py)
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from rich.cells import cell_len, chop_cells

GAP = "  "
INDENT = "  "
LITTLE_CELLS = 4  # ours: a column that lacks so little gets it: `2.5 kB` stays on a line
LOOSE_CELLS = 12  # ours: what a loose column gets at least, however long its words are


def lay_out(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    room: int,
    loose: Collection[str] = (),
    strong: str = "",
    end: str = "",
) -> Iterator[str]:
    """The lines; `room` is in cells of the terminal, `strong` and `end` stand around headings."""
    widths = column_widths(columns, rows, room, loose)
    if widths is None:
        for row in rows:
            yield from _paragraph(columns, row, room, strong, end)
        return
    if any(columns):
        heading = GAP.join(map(_filled, columns, widths))
        yield f"{strong}{heading.rstrip()}{end}"
    for row in rows:
        yield from _table_row(row, widths)


def column_widths(
    columns: Sequence[str], rows: Sequence[Sequence[str]], room: int, loose: Collection[str] = ()
) -> list[int] | None:
    """How wide each column gets; None if their longest words do not fit beside each other."""
    every = [columns, *rows]
    words = [
        max(max(map(cell_len, row[at].split()), default=0) for row in every) for at in _of(columns)
    ]
    for at, title in enumerate(columns):
        words[at] = min(words[at], LOOSE_CELLS) if title in loose else words[at]
    whole = [max(cell_len(row[at]) for row in every) for at in _of(columns)]
    words = [max(least, cell_len(title)) for least, title in zip(words, columns, strict=True)]
    left = room - len(GAP) * (len(columns) - 1) - sum(words)
    if left < 0:
        return None
    widths = list(words)
    hungry = sorted(_of(columns), key=lambda at: whole[at] - words[at])
    for served, at in enumerate(hungry):  # who wants least first: what he leaves is for the others
        share = max(left // (len(columns) - served), min(left, LITTLE_CELLS))
        more = min(whole[at] - words[at], share)
        widths[at] += more
        left -= more
    return widths


def _of(columns: Sequence[str]) -> range:
    return range(len(columns))


def _table_row(row: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    cells = [list(_wrapped(cell, width)) for cell, width in zip(row, widths, strict=True)]
    for at in range(max(map(len, cells), default=0)):
        line = [lines[at] if at < len(lines) else "" for lines in cells]
        yield GAP.join(map(_filled, line, widths)).rstrip()


def _paragraph(
    columns: Sequence[str], row: Sequence[str], room: int, strong: str, end: str
) -> Iterator[str]:
    """`heading value` pairs, as many on a line as fit; a value that is empty is left out."""
    line, used = "", 0
    for title, cell in zip(columns, row, strict=True):
        if not cell:
            continue
        width = cell_len(f"{title} {cell}" if title else cell)
        shown = f"{strong}{title}{end} {cell}" if title else cell
        if used and used + len(GAP) + width > room:
            yield line
            line, used = INDENT + shown, len(INDENT) + width
        elif used:
            line, used = line + GAP + shown, used + len(GAP) + width
        else:
            line, used = shown, width
    yield line


def _wrapped(text: str, width: int) -> Iterator[str]:
    if cell_len(text) <= width:
        yield text
        return
    line, used = "", 0
    for word in _broken(text.split(), width):
        length = cell_len(word)
        if used and used + 1 + length > width:
            yield line
            line, used = word, length
        elif used:
            line, used = f"{line} {word}", used + 1 + length
        else:
            line, used = word, length
    yield line


def _broken(words: Iterable[str], width: int) -> Iterator[str]:
    """The words; one that is too long comes in pieces."""
    for word in words:
        if cell_len(word) <= width:
            yield word
        else:
            yield from (piece.rstrip() for piece in chop_cells(word, width))


def _filled(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))
