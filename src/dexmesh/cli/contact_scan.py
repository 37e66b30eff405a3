"""Find the invitation in a picture, before the camera, or in a text.

Place     cli/contact_add.py -> here -> zbarimg, zbarcam (package zbar-tools)
Spec      docs/apps/invitation.md "Scanning"
Keeps     what is read is bounded; a program that is missing is named together with its package
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import BinaryIO

from dexmesh.errors import ContactError

_PICTURE_S = 30.0
_CAMERA_S = 120.0
_MAX_BYTES = 64 << 10
_NO_CODE = 4  # zbarimg(1): there is no code in the picture
_OTHER_WAYS = (
    "`dexmesh contact scan PICTURE` reads a picture, `contact add` takes the text of the code"
)
_INVITATION = re.compile(r"dexmesh:[!-~]+", re.IGNORECASE)


def read_picture(path: Path) -> str:
    """The invitation in a picture, or in a text file. Raises ContactError if there is none."""
    with path.open("rb") as file:
        start = file.read(_MAX_BYTES)
    if start.isascii():
        return _find(start.decode(), str(path))
    said = _run(["zbarimg", "--raw", "-q", "--", str(path.absolute())], _PICTURE_S)
    return _find(said, str(path))


def read_camera() -> str:
    """The invitation that is held before the camera."""
    return _find(_run(["zbarcam", "--raw", "-q", "--oneshot"], _CAMERA_S), "the camera")


def read_stream(stream: BinaryIO) -> str:
    """The invitation in a text, a mail for example, on standard input."""
    return _find(stream.read(_MAX_BYTES).decode("ascii", "replace"), "standard input")


def _find(text: str, where: str) -> str:
    found = _INVITATION.search(text)
    if found is None:
        raise ContactError(f"no invitation was found in {where}", "It begins with dexmesh:")
    return found[0]


def _run(command: list[str], patience_s: float) -> str:
    try:
        done = subprocess.run(command, capture_output=True, timeout=patience_s, check=False)
    except FileNotFoundError:
        hint = "apt-get install zbar-tools, or scan with a phone and give the text"
        raise ContactError(f"{command[0]} is needed to read QR codes", hint) from None
    except subprocess.TimeoutExpired:
        raise ContactError(f"{command[0]} found no QR code in {patience_s:.0f} s") from None
    if not done.stdout and done.returncode not in (0, _NO_CODE):
        said = done.stderr[:_MAX_BYTES].decode("utf-8", "replace").split("\n")
        reason = next((line.strip() for line in said if line.strip()), "it does not say why")
        raise ContactError(f"{command[0]} failed: {reason}", _OTHER_WAYS)
    return done.stdout[:_MAX_BYTES].decode("utf-8", "replace")
