"""Fetch the admin clients that others wrote, unchanged, once.

Place     test_admin_clients.py -> here -> npm and pip
Keeps     everything goes below DEXMESH_CACHE (or .build/): nothing of it is part of the repository;
          in CI a client that cannot be fetched is a failure, elsewhere the tests say why they skip

Run as a program (`python -m tests.interop.clients`) it only fetches.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import NoReturn

import pytest

NPM_PACKAGE = "cjdnsadmin@1.0.3"
PYPI_PACKAGES = ("cjdnsadmin==0.1.6", "cjdns==0.2.4")
FETCH_LIMIT_S = 300

_REPOSITORY = Path(__file__).resolve().parents[2]


def cache_folder() -> Path:
    """Where the clients are kept."""
    return Path(os.environ.get("DEXMESH_CACHE", _REPOSITORY / ".build")) / "admin-clients"


@cache
def npm_folder() -> Path:
    """A folder whose node_modules has the npm client; skips the test if there is none."""
    folder = cache_folder() / "npm"
    if not (folder / "node_modules" / "cjdnsadmin").is_dir():
        _need("node")
        folder.mkdir(parents=True, exist_ok=True)
        flags = ["--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
        _fetch([_need("npm"), "install", "--prefix", str(folder), *flags, NPM_PACKAGE])
    return folder


@cache
def python_folder() -> Path:
    """A folder for PYTHONPATH with both Python clients; skips the test if there is none."""
    folder = cache_folder() / "python"
    if not (folder / "fetched").exists():
        target = ["--no-deps", "--upgrade", "--target", str(folder)]
        _fetch([sys.executable, "-m", "pip", "install", "--quiet", *target, *PYPI_PACKAGES])
        (folder / "fetched").touch()
    return folder


def _need(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        _give_up(f"{program} is not installed (apt-get install nodejs npm)")
    return found


def _fetch(command: list[str]) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=FETCH_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        _give_up(f"fetching took longer than {FETCH_LIMIT_S} s: {' '.join(command)}")
    if done.returncode:
        _give_up(f"cannot fetch the clients: {done.stderr.strip()[-500:]}")


def _give_up(reason: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


if __name__ == "__main__":
    print(npm_folder())
    print(python_folder())
