"""Keep the list of users that may become peers, and tell the engine about each change.

Place     settings and AuthorizedPasswords_* -> here -> AddUser / RemoveUser -> engine
Spec      docs/protocol/01 §3; docs/protocol/08 §6.2
Keeps     `Local Peers` comes first; a login and password pair is there once; at most MAX_USERS
Not here  checking what a caller presents (rust/engine)
"""

from __future__ import annotations

from dexmesh.engine.messages import AddUser, RemoveUser
from dexmesh.errors import DexmeshError
from dexmesh.mesh.notices import Emit
from dexmesh.mesh.randomness import Random
from dexmesh.values import dataclass, field
from dexmesh.wire.address import Address
from dexmesh.wire.base32 import encode_base32

LOCAL_PEERS = "Local Peers"  # 01 §3
MAX_PASSWORD_BYTES = 64  # 01 §3: v22.3 aborts above
MAX_USERS = 1024  # ours

_BEACON_PASSWORD_CHARACTERS = 20  # 01 §3


class CredentialRefusedError(DexmeshError):
    """This user cannot be added. `reason`: duplicate, password length, login missing, full."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class _User:
    login: str
    password: bytes = field(repr=False)
    only_address: Address | None


class Credentials:
    """One per node. Makes the password of `Local Peers` when it is made."""

    def __init__(self, random: Random, emit: Emit) -> None:
        self._emit = emit
        self._users: list[_User] = []
        digits = encode_base32(random.randbytes(_BEACON_PASSWORD_CHARACTERS))
        self.beacon_password = digits[:_BEACON_PASSWORD_CHARACTERS].encode()
        self.add(self.beacon_password, LOCAL_PEERS)

    def add(
        self, password: bytes, login: str | None = None, only_address: Address | None = None
    ) -> str:
        """Let whoever presents this in; returns the login, `Anon #N` if none is given.

        Raises `CredentialRefusedError`.
        """
        if not 1 <= len(password) <= MAX_PASSWORD_BYTES:
            raise CredentialRefusedError("password length")
        if login == "":
            raise CredentialRefusedError("login missing")
        if len(self._users) >= MAX_USERS:
            raise CredentialRefusedError("full")
        name = self._anonymous_name() if login is None else login
        if any(user.login == name and user.password == password for user in self._users):
            raise CredentialRefusedError("duplicate")
        self._users.append(_User(name, password, only_address))
        self._emit(AddUser(name, password, only_address))
        return name

    def remove(self, login: str) -> bool:
        """Let nobody in any more under this login; whether there was one."""
        left = [user for user in self._users if user.login != login]
        if len(left) == len(self._users):
            return False
        self._users = left
        self._emit(RemoveUser(login))
        return True

    def logins(self) -> tuple[str, ...]:
        """Every login in the order of addition."""
        return tuple(user.login for user in self._users)

    def _anonymous_name(self) -> str:
        taken = set(self.logins())
        number = len(self._users)
        while f"Anon #{number}" in taken:
            number += 1
        return f"Anon #{number}"
