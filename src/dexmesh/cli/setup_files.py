"""Put a configuration into a file that somebody may already have filled.

Place     cli/setup.py -> here
Spec      docs/apps/mail-programs.md
Keeps     nothing is replaced without a yes, and what is replaced stays beside it under another name
"""

from __future__ import annotations

import os
import pwd
import shutil
import sys
from pathlib import Path

import typer

from dexmesh.cli.output import fail
from dexmesh.config.files import write_secret_file
from dexmesh.errors import HostError, PermissionNeededError

_MOST_BACKUPS = 100  # ours


def put(text: str, path: Path, user: str, is_sure: bool) -> tuple[Path, Path | None]:
    """Write the file; returns its path and that of the backup, if there was something to keep.

    A new file in the home of `user` is theirs, also when root writes it.
    """
    backup = None
    if path.exists():
        if path.read_bytes() == text.encode():
            return path, None
        _ask(path, is_sure)
        backup = _keep(path)
        write_secret_file(path, text, overwrite=True)
    else:
        write_secret_file(path, text)
        _hand_over(path, user)
    return path, backup


def make_folder(path: Path, user: str) -> None:
    """Make a folder and those above it where there are none; in the home of `user` they are theirs."""
    missing = [one for one in (path, *path.parents) if not one.is_dir()]
    try:
        for one in reversed(missing):
            one.mkdir()
            _hand_over(one, user)
    except OSError as error:
        hint = "name a folder that is there, or may be made by you"
        raise HostError(f"{error.filename} cannot be made: {error.strerror}", hint) from None


def _ask(path: Path, is_sure: bool) -> None:
    if is_sure:
        return
    if not sys.stdin.isatty():
        fail(f"{path} is there already; nothing was written", "--yes replaces it and keeps a copy")
    if not typer.confirm(f"{path} is there already. Replace it (a copy stays)?", err=True):
        fail("nothing was written")


def _keep(path: Path) -> Path:
    """A copy with the same owner and rights, under a name that was free."""
    for number in range(1, _MOST_BACKUPS + 1):
        backup = path.with_name(f"{path.name}.before-dexmesh-{number}")
        try:
            with backup.open("xb"):
                pass
        except FileExistsError:
            continue
        except PermissionError:
            hint = "run it as the owner of the place, or name another file"
            raise PermissionNeededError(f"{backup} may not be written by you", hint) from None
        shutil.copy2(path, backup)
        if os.geteuid() == 0:
            owner = path.stat()
            os.chown(backup, owner.st_uid, owner.st_gid)
        return backup
    raise HostError(
        f"{path} has {_MOST_BACKUPS} copies already", f"remove some of {path}.before-dexmesh-*"
    )


def _hand_over(path: Path, user: str) -> None:
    if os.geteuid() != 0:
        return
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        return
    if path.resolve().is_relative_to(account.pw_dir) and account.pw_dir != "/":
        os.chown(path, account.pw_uid, account.pw_gid)
