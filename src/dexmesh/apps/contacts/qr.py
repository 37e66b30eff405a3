"""Draw a text as a QR code: in the terminal, on dark and on light ones, and as a picture.

Place     cli/contact_invite.py and cli/contact.py -> here -> segno
Spec      ISO/IEC 18004; docs/apps/mail.md §5
Keeps     the code is dark on light with its quiet zone, whatever colours the terminal has
"""

from __future__ import annotations

import io
from pathlib import PurePath

from dexmesh.errors import ContactError

QUIET = 4  # ISO/IEC 18004: modules around the code
PICTURES = (".png", ".svg")

_DARK_ON_LIGHT = "\x1b[38;5;16m\x1b[48;5;231m"  # fixed colours, which no theme turns round
_PLAIN = "\x1b[0m"
_BLOCKS = {(False, False): " ", (True, False): "▀", (False, True): "▄", (True, True): "█"}


def terminal_qr(text: str, *, is_coloured: bool) -> str:
    """The code in half blocks, two rows of modules a line.

    Without colours the blocks are the light modules: right on a dark terminal, inverted on a light one.
    """
    rows = _modules(text)
    if len(rows) % 2:
        rows.append([False] * len(rows[0]))
    lines = []
    for upper, lower in zip(rows[::2], rows[1::2], strict=True):
        pairs = zip(upper, lower, strict=True)
        if is_coloured:
            lines.append(_DARK_ON_LIGHT + "".join(_BLOCKS[pair] for pair in pairs) + _PLAIN)
        else:
            lines.append("".join(_BLOCKS[not above, not below] for above, below in pairs))
    return "\n".join(lines) + "\n"


def picture_qr(text: str, name: str) -> bytes:
    """The code as PNG or SVG, as the end of the file's name says. Raises ContactError for another."""
    kind = PurePath(name).suffix.lower()
    if kind not in PICTURES:
        raise ContactError(f"{name}: not a PNG or SVG", "End the name of the file in .png or .svg.")
    out = io.BytesIO()
    _code(text).save(out, kind=kind[1:], scale=8, border=QUIET)
    return out.getvalue()


def columns_needed(text: str) -> int:
    """How wide a terminal must be for the code."""
    return len(_modules(text)[0])


def _modules(text: str) -> list[list[bool]]:
    """Rows of modules, True where it is dark, the quiet zone around them."""
    rows = _code(text).matrix_iter(scale=1, border=QUIET)
    return [[bool(module) for module in row] for row in rows]


def _code(text: str):  # type: ignore[no-untyped-def]
    import segno

    try:
        return segno.make_qr(text, error="m", boost_error=False)
    except segno.DataOverflowError:
        raise ContactError("too long for a QR code") from None
