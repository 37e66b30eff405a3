"""A large file over the mesh, with stock programs on both sides.

Place     cli/demo.py -> here
Keeps     the file is compared by its SHA-256, on both sides
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

from dexmesh.cli.demo_node import Node
from dexmesh.errors import HostError

FILE_BYTES = 200_000_000
HTTP_PORT = 8080
_LIMIT_S = 300
_CHUNK_BYTES = 1 << 20


def fetch_file(server: Node, client: Node) -> tuple[float, str]:
    """Fetch a file from the server over HTTP; bit/s and SHA-256. HostError if it comes damaged."""
    folder = server.machine.folder / "www"
    folder.mkdir()
    wanted = make_file(folder / "file.bin", FILE_BYTES)
    serve = [sys.executable, "-m", "http.server", str(HTTP_PORT), "--bind", server.address]
    server.machine.start([*serve, "-d", str(folder)], log="http.log")
    got = client.machine.folder / "file.bin"
    rate = _fetch(client, f"http://[{server.address}]:{HTTP_PORT}/file.bin", got)
    found = hash_file(got)
    if found != wanted:
        raise HostError(f"the file arrived damaged: SHA-256 {found}, wanted {wanted}")
    got.unlink()
    return rate, found


def _fetch(client: Node, url: str, target: Path) -> float:
    """The bits in a second with which curl got it."""
    argv = ["curl", "--silent", "--show-error", "--fail", "--retry", "10", "--retry-connrefused"]
    argv += ["--retry-delay", "1", "--max-time", str(_LIMIT_S), "-o", str(target)]
    argv += ["-w", "%{speed_download}", url]
    return float(client.machine.run(argv, timeout_s=_LIMIT_S + 30).stdout) * 8


def make_file(path: Path, size: int) -> str:
    """Write `size` bytes that do not compress; returns their SHA-256."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        left = size
        while left:
            chunk = os.urandom(min(left, _CHUNK_BYTES))
            file.write(chunk)
            digest.update(chunk)
            left -= len(chunk)
    return digest.hexdigest()


def hash_file(path: Path) -> str:
    """The SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
