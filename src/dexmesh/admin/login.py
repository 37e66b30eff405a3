"""Find out where the admin port of a node is, and with which password.

Place     cli/ -> here -> client.py
Spec      docs/protocol/09 §7 (`~/.cjdnsadmin`)
"""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path

from dexmesh.admin.auth import OPEN_PASSWORD
from dexmesh.errors import ConfigError, ConfigProblem
from dexmesh.values import dataclass, field

DEFAULT_PORT = 11234  # 08 §1
MAX_FILE_BYTES = 65536  # ours

_HINT = 'It holds {"addr": "127.0.0.1", "port": 11234, "password": "..."}.'


@dataclass(frozen=True, slots=True)
class AdminLogin:
    """Where a node listens for admin calls. Without a password only open functions can be called."""

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    password: bytes | None = field(default=OPEN_PASSWORD, repr=False)

    @property
    def where(self) -> str:
        """`127.0.0.1:11234`."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def read_login(path: Path | None = None) -> AdminLogin:
    """The login of `~/.cjdnsadmin`, or of the file given; the defaults if there is no such file.

    Raises ConfigError if it is there but cannot be used.
    """
    path = Path.home() / ".cjdnsadmin" if path is None else path
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE_BYTES)
    except FileNotFoundError:
        return AdminLogin()
    except OSError as error:
        raise _problem(path, f"cannot be read: {error.strerror}") from error
    return parse_login(path, text)


def parse_login(path: Path, text: bytes) -> AdminLogin:
    """The login in these bytes of the file `path`. Raises ConfigError if they are of no use."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _problem(path, f"is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise _problem(path, "is not a JSON object")
    host = content.get("addr", AdminLogin().host)
    port = content.get("port", DEFAULT_PORT)
    password = content.get("password", OPEN_PASSWORD.decode())
    if not _is_address(host):
        raise _problem(path, '"addr" is no IP address')
    if type(port) is not int or not 0 < port <= 65535:
        raise _problem(path, '"port" is no port')
    if password is not None and not isinstance(password, str):
        raise _problem(path, '"password" is no text')
    try:
        return AdminLogin(host, port, password.encode() if password else None)
    except UnicodeEncodeError as error:  # half of a surrogate pair
        raise _problem(path, '"password" is no text') from error


def _is_address(host: object) -> bool:
    try:
        ipaddress.ip_address(host if isinstance(host, str) else "")
    except ValueError:
        return False
    return True


def _problem(path: Path, message: str) -> ConfigError:
    return ConfigError((ConfigProblem(str(path), 0, 0, message, _HINT),))
