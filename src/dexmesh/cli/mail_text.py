"""Get the text of a mail from a person: an option, a pipe, the keyboard or an editor.

Place     cli/mail_send.py -> here
Spec      docs/apps/mail.md §4 "Reading" (comfortable without any mail program)
Keeps     an empty text from an editor sends nothing; the text on its way to the editor is in a file for
          the user alone, removed afterwards, and kept if the editor fails
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from dexmesh.cli.output import fail, note

MAX_TEXT_BYTES = 10_000_000  # ours


def read_text(message: str | None, edit: bool, quoted: str) -> str:
    """The text. `quoted` stands in front of what is typed, or in the editor from the start."""
    if edit:
        return _edited((message or "") + quoted)
    if message is not None:
        return _joined(quoted, message)
    if sys.stdin.isatty():
        return _joined(quoted, _typed())
    return _joined(quoted, _piped())


def _piped() -> str:
    """What a program hands over; bytes that are no UTF-8 are taken for Latin-1."""
    data = sys.stdin.buffer.read(MAX_TEXT_BYTES + 1)
    if len(data) > MAX_TEXT_BYTES:
        hint = "send it as a file: --attach FILE"
        fail(f"the text is longer than {MAX_TEXT_BYTES // 10**6} MB; nothing was sent", hint)
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _joined(quoted: str, text: str) -> str:
    text = text if not text or text.endswith("\n") else text + "\n"
    return quoted + text


def _typed() -> str:
    note("Type the text; end it with Ctrl-D or a single dot on a line, give up with Ctrl-C.")
    lines: list[str] = []
    for line in sys.stdin:
        if line.rstrip("\n") == ".":
            break
        lines.append(line)
    return "".join(lines)


def _edited(text: str) -> str:
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "sensible-editor"
    descriptor, name = tempfile.mkstemp(prefix="dexmesh-", suffix=".txt")
    draft = Path(name)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    try:
        ended = subprocess.run([*shlex.split(editor), name], check=False).returncode
    except OSError as error:
        draft.unlink()
        fail(f"the editor {editor} cannot be started: {error.strerror}", "set EDITOR, or use -m")
    if ended != 0:
        fail(f"the editor ended with {ended}; nothing was sent", f"the text is in {name}")
    written = draft.read_text(encoding="utf-8", errors="replace")
    draft.unlink()
    if not written.strip():
        fail("the text is empty; nothing was sent")
    return written
