"""Check keys, passwords and who is let in.

Place     config/reader.py and config/interfaces.py -> here -> settings values
Spec      docs/protocol/01 section 1 "Identity", section 3 "Credentials"; 09 section 2 "Keys"
Keeps     no message ever repeats a password or a private key
Not here  the user table of a running node (mesh/credentials.py)
"""

from __future__ import annotations

from dexmesh.config.checker import Checker, Keys
from dexmesh.config.document import Text
from dexmesh.config.settings import AuthorizedPassword
from dexmesh.errors import DecodeError
from dexmesh.wire.address import Address, is_mesh_address, parse_address
from dexmesh.wire.keys import PublicKey, decode_key

MAX_PASSWORD_BYTES = 64  # 01 section 3: v22.3 aborts on longer ones

_KEY_HINT = "A public key is 52 letters and digits followed by .k"


def read_public_key(checker: Checker, text: Text) -> PublicKey | None:
    """The node key written in this text."""
    try:
        return decode_key(text.value.decode("ascii", "replace"))
    except DecodeError as error:
        checker.wrong(text.start, f"this is no node's public key: {error.reason}", _KEY_HINT)
        return None


def required_public_key(keys: Keys, owner: str) -> PublicKey | None:
    """The `publicKey` of a dictionary that must have one; `owner` names it in messages."""
    match keys.node("publicKey"):
        case Text() as text:
            return read_public_key(keys.checker, text)
        case None:
            hint = f'Add "publicKey": "....k". {_KEY_HINT}'
            keys.checker.wrong(keys.start, f"{owner} has no publicKey", hint)
        case _:
            keys.octets("publicKey")  # notes that it is no text
    return None


def required_password(keys: Keys, owner: str) -> bytes | None:
    """The `password` of a dictionary that must have one, 1 to 64 bytes."""
    if not keys.has("password"):
        keys.checker.wrong(keys.start, f"{owner} has no password", 'Add "password": "...".')
        return None
    password = keys.octets("password")
    if password is None:
        return None
    if not 1 <= len(password) <= MAX_PASSWORD_BYTES:
        hint = f"A password has 1 to {MAX_PASSWORD_BYTES} bytes."
        message = f"the password of {owner} has {len(password)} bytes"
        keys.checker.wrong(keys.place("password"), message, hint)
        return None
    return password


def read_authorized_passwords(root: Keys) -> tuple[AuthorizedPassword, ...]:
    """Whom `authorizedPasswords` lets in, in the order of the file."""
    found: list[AuthorizedPassword] = []
    logins: dict[bytes, int] = {}
    passwords: dict[bytes, int] = {}
    for keys in root.tables("authorizedPasswords", "authorizedPasswords"):
        password = required_password(keys, "this entry of authorizedPasswords")
        user = keys.octets("user")
        address = _read_address(keys)
        keys.ignore("publicKey")
        keys.finish()
        if password is None:
            continue
        _note_shared(keys, user, password, logins, passwords)
        found.append(AuthorizedPassword(password, user, address))
    return tuple(found)


def _note_shared(
    keys: Keys,
    user: bytes | None,
    password: bytes,
    logins: dict[bytes, int],
    passwords: dict[bytes, int],
) -> None:
    """A login must be unique; a shared password works, but hides who is calling."""
    checker = keys.checker
    if user is not None and logins.setdefault(user, keys.start) != keys.start:
        line = checker.line(logins[user])
        message = f"this user has an entry already, in line {line}"
        checker.wrong(keys.place("user"), message, "Give every user a name of its own.")
    elif passwords.setdefault(password, keys.start) != keys.start:
        line = checker.line(passwords[password])
        hint = "Peers that present no login cannot be told apart; give everyone a password."
        checker.warn(keys.place("password"), f"same password as the entry in line {line}", hint)


def _read_address(keys: Keys) -> Address | None:
    text = keys.text("ipv6")
    if text is None:
        return None
    try:
        address = parse_address(text)
    except DecodeError:
        address = None
    if address is None or not is_mesh_address(address):
        hint = "It is the address of the one node this entry is for, and starts with fc."
        keys.checker.wrong(keys.place("ipv6"), "ipv6 is not the address of a node", hint)
        return None
    return address
