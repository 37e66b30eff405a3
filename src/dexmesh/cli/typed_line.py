"""Let a person type a line where keys come one by one and nobody else echoes them.

Place     cli/phone_seat.py hands in keys -> here -> the line, and the terminal
Keeps     a line of at most MOST_CHARS; what cannot be printed is no part of it; lines told meanwhile
          stand above it
Not here  reading keys (keyboard.py)
"""

from __future__ import annotations

import sys
from typing import Final

MOST_CHARS: Final = 200
_CLEAR: Final = "\r\x1b[K"


class TypedLine:
    """One line behind a prompt. It is on the terminal from the beginning."""

    def __init__(self, prompt: str) -> None:
        self._prompt, self._text = prompt, ""
        self.show()

    def take(self, char: str) -> str | None:
        """Take a key: the whole line with Enter, an empty one for whoever gives up (Ctrl-G, Ctrl-D), else
        None.
        """
        if char in "\r\n":
            self._write("\n")
            return self._text.strip()
        if char in "\x07\x04":
            self.hide()
            return ""
        if char in "\x7f\b":
            self._text = self._text[:-1]
        elif char in "\x15":  # Ctrl-U
            self._text = ""
        elif char.isprintable() and len(self._text) < MOST_CHARS:
            self._text += char
        self.show()
        return None

    def show(self) -> None:
        """Write it anew."""
        self._write(f"{_CLEAR}{self._prompt}{self._text}")

    def hide(self) -> None:
        """Make room for something else."""
        self._write(_CLEAR)

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()
