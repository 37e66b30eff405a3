"""Read and write files that hold secrets.

Place     cli/ -> here
Spec      docs/protocol/09 section 8 "systemd" (configurations are made with umask 077)
Keeps     such a file is never readable for others, not even for a moment, and is replaced
          whole or not at all
Not here  what is in the file
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from dexmesh.errors import HostError, PermissionNeededError

MAX_CONFIG_BYTES = 8 << 20  # ours: two hundred times a large peer list

_MODE = 0o600


def read_config_file(path: Path) -> bytes:
    """The bytes of a configuration. Raises HostError when it cannot be read or is absurdly big."""
    try:
        with path.open("rb") as file:
            return bounded(file.read(MAX_CONFIG_BYTES + 1), str(path))
    except FileNotFoundError:
        hint = f"`dexmesh config new {path}` makes one."
        raise HostError(f"{path} does not exist", hint) from None
    except PermissionError:
        hint = "Run it as the owner of the file, or name another with --config."
        raise PermissionNeededError(f"{path} may not be read by you", hint) from None
    except OSError as error:
        raise HostError(f"{path} cannot be read: {error.strerror}") from None


def bounded(data: bytes, name: str) -> bytes:
    """The same bytes. Raises HostError if they are too many for a configuration."""
    if len(data) > MAX_CONFIG_BYTES:
        raise HostError(f"{name} is longer than {MAX_CONFIG_BYTES} bytes: no configuration")
    return data


def is_exposed(path: Path) -> bool:
    """Whether others than the owner can read or write this file."""
    return bool(stat.S_IMODE(path.stat().st_mode) & 0o077)


def write_secret_file(path: Path, text: str | bytes, *, overwrite: bool = False) -> None:
    """Put this into a file only its owner can read (0600).

    Raises HostError if the file exists and `overwrite` is not given, or cannot be written.
    """
    data = text if isinstance(text, bytes) else text.encode()
    target = path.resolve() if overwrite else path
    draft = target.with_name(f".{target.name}.{secrets.token_hex(6)}")
    try:
        _write_draft(draft, data)
        try:
            if overwrite:
                _keep_owner(target, draft)
                draft.rename(target)
            else:
                os.link(draft, target)
        finally:
            draft.unlink(missing_ok=True)
        _sync_directory(target.parent)
    except FileExistsError:
        raise HostError(f"{path} exists already", "Move it away, or ask to overwrite it.") from None
    except PermissionError:
        hint = "Run it as the owner of the place, or name another one."
        raise PermissionNeededError(f"{path} may not be written by you", hint) from None
    except OSError as error:
        raise HostError(f"{path} cannot be written: {error.strerror}") from None


def _write_draft(draft: Path, data: bytes) -> None:
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def _keep_owner(target: Path, draft: Path) -> None:
    """The new file belongs to whom the old one did, as far as we may say so."""
    try:
        old = target.stat()
    except FileNotFoundError:
        return
    if (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
        os.chown(draft, old.st_uid, old.st_gid)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
