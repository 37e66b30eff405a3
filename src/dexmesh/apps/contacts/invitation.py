"""Write and read invitations: one line of text that says who somebody is, and notices every slip.

Place     cli/contact_invite.py, cli/contact_add.py and accepted Requests -> here
Spec      docs/apps/invitation.md; docs/apps/mail.md §5
Keeps     any one wrong character and any two swapped neighbours are refused, for certain; the text
          fits the alphanumeric mode of QR codes; work and result are bounded
Not here  drawing it (qr.py); what becomes of it (cli/)
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Sequence

from dexmesh.apps.base.domains import literal
from dexmesh.apps.base.mailbox import MAX_PART_CHARS, Mailbox
from dexmesh.apps.contacts.contact import Contact, Verification
from dexmesh.apps.contacts.petname import petname_from
from dexmesh.errors import ContactError, DecodeError
from dexmesh.values import dataclass, field
from dexmesh.wire.address import Address
from dexmesh.wire.base32 import encode_base32
from dexmesh.wire.keys import KEY_SUFFIX, PublicKey, address_of, decode_key, encode_key

SCHEME = "dexmesh:"
VERSION = "1"
MAX_CHARS = 1024  # ours: a QR code that a phone still reads from a screen
MAX_PEERS = 4  # ours
MAX_PARAMETERS = 32  # ours
HEADER = "X-Dexmesh-Invitation"
"""The header of the mail that answers an invitation; its value is the invitation of who answers."""

_CHECK_CHARS = 7  # 32 bits in base32
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-.:")
_FIELD = re.compile(r"([a-z])(:(?:[a-z0-9.:+-]|%[0-9a-f]{2})*)")
_ENCODED = re.compile(rb"%([0-9a-f]{2})")
_ENDPOINT = re.compile(r"[a-z0-9.-]{1,253}:\d{1,5}|\[[0-9a-f:.]{2,45}\]:\d{1,5}", re.I)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class InvitationError(ContactError):
    """The text is no invitation, or it was changed on the way; ask for it once more."""


@dataclass(frozen=True, slots=True)
class InvitedPeer:
    """A node through which the mesh is reached: what `dexmesh peer add` needs."""

    endpoint: str
    key: PublicKey
    login: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Invitation:
    """Who somebody is: the key of his node, his mailbox there, what he calls himself."""

    key: PublicKey
    user: str
    petname: str = ""
    full_name: str = ""
    peers: tuple[InvitedPeer, ...] = ()

    @property
    def address(self) -> Address:
        """The node, which follows from the key."""
        return address_of(self.key)

    @property
    def mailbox(self) -> Mailbox:
        """Where mail to this person goes."""
        return Mailbox(self.user, literal(self.address), self.full_name)


def contact_from(
    invitation: Invitation, verified: Verification | None, petname: str = ""
) -> Contact:
    """The contact that an invitation makes, under this petname or the one it proposes."""
    proposed = petname_from(invitation.petname) or petname_from(invitation.user)
    return Contact(
        petname=petname or proposed or f"node-{encode_key(invitation.key)[:8]}",
        full_name=invitation.full_name,
        mails=(Mailbox(invitation.user, literal(invitation.address)),),
        keys=(invitation.key,),
        verified=verified,
    )


def invitation_answer(header_value: str, sender: Address) -> Invitation | None:
    """The invitation in the HEADER of a mail from that node; None if there is none that is his own.

    It proves nothing beyond the address, which is its key; it saves typing the rest.
    """
    try:
        invitation = decode_invitation(header_value.strip())
    except InvitationError:
        return None
    return invitation if invitation.address == sender else None


def is_invitation(text: str) -> bool:
    """Whether somebody means this text to be an invitation, sound or not."""
    return text.strip()[: len(SCHEME)].lower() == SCHEME


# --- To text ------------------------------------------------------------------------------------------


def encode_invitation(invitation: Invitation) -> str:
    """The invitation in upper case, ready for a QR code. Raises InvitationError if it gets too long."""
    if len(invitation.peers) > MAX_PEERS:
        raise InvitationError(f"an invitation holds {MAX_PEERS} peers at most")
    body = "/".join([f"{SCHEME}{VERSION}", *_fields(invitation)])
    text = f"{body}/{_check(body)}".upper()
    if len(text) > MAX_CHARS:
        hint = "Leave out peers, or take a shorter name."
        raise InvitationError(f"the invitation is longer than {MAX_CHARS} characters", hint)
    decode_invitation(text)  # refuses what nobody could read
    return text


def _fields(invitation: Invitation) -> Iterator[str]:
    yield encode_key(invitation.key).removesuffix(KEY_SUFFIX)
    yield f"u:{_encode_text(invitation.user)}"
    if invitation.petname and invitation.petname != invitation.user:
        yield f"n:{_encode_text(invitation.petname)}"
    if invitation.full_name:
        yield f"f:{_encode_text(invitation.full_name)}"
    for peer in invitation.peers:
        yield f"p:{'+'.join(_peer_parts(peer))}"


def _peer_parts(peer: InvitedPeer) -> list[str]:
    key = encode_key(peer.key).removesuffix(KEY_SUFFIX)
    parts = [_encode_text(peer.endpoint), key]
    if peer.login or peer.password:
        parts.append(_encode_text(peer.password))
    if peer.login:
        parts.append(_encode_text(peer.login))
    return parts


def _encode_text(text: str) -> str:
    """Small letters, digits and `-.:` as they are, everything else as %xx of its UTF-8."""
    return "".join(
        c if c in _PLAIN else "".join(f"%{byte:02x}" for byte in c.encode()) for c in text
    )


# --- From text ----------------------------------------------------------------------------------------


def decode_invitation(text: str) -> Invitation:
    """The invitation in this text, in any case. Raises InvitationError for everything else."""
    text = text.strip(" \t\r\n")
    if not is_invitation(text):
        hint = "An invitation begins with dexmesh: and is one line."
        raise InvitationError("that is no invitation", hint)
    if len(text) > MAX_CHARS:
        raise InvitationError(f"an invitation of more than {MAX_CHARS} characters")
    if not text.isascii() or not text.isprintable() or " " in text:
        hint = "Copy it in one piece; a line break or blank in it makes two of it."
        raise InvitationError("the invitation has a character that cannot be in one", hint)
    body, _slash, check = text.lower().rpartition("/")
    _require_version(body)
    if len(check) != _CHECK_CHARS or check != _check(body):
        raise _damaged()
    head, *rest = body.split("/")[1:] or [""]
    if len(rest) > MAX_PARAMETERS:
        raise InvitationError(f"an invitation with more than {MAX_PARAMETERS} parameters")
    return _invitation(_decode_key(head), rest)


def _require_version(body: str) -> None:
    version = body.removeprefix(SCHEME).partition("/")[0]
    if version == VERSION:
        return
    if version.isdecimal():
        hint = "A newer dexmesh may have made it; else a character is wrong."
        raise InvitationError(f"an invitation of version {version[:9]}, which is not known", hint)
    raise _damaged()


def _invitation(key: PublicKey, fields: Sequence[str]) -> Invitation:
    single: dict[str, str] = {}
    peers = []
    for one in fields:
        found = _FIELD.fullmatch(one)
        if found is None:
            continue  # a parameter of a later version; the checksum covers it
        name, value = found[1], found[2][1:]
        if name == "p":
            peers.append(_peer(value))
        elif name in "unf":
            if name in single:
                raise InvitationError(f"an invitation with two parameters {name}")
            single[name] = _decode_text(value)
    if len(peers) > MAX_PEERS:
        raise InvitationError(f"an invitation with more than {MAX_PEERS} peers")
    user = single.get("u", "")
    if not user or "@" in user or len(user) > MAX_PART_CHARS:
        raise InvitationError("an invitation without a user")
    return Invitation(key, user, single.get("n", user), single.get("f", ""), tuple(peers))


def _peer(value: str) -> InvitedPeer:
    endpoint, key, password, login, *_later = [*value.split("+"), "", "", ""]
    endpoint = _decode_text(endpoint)
    if _ENDPOINT.fullmatch(endpoint) is None:
        raise InvitationError(
            f"an invitation with the peer {endpoint[:60]!r}, which is no HOST:PORT"
        )
    return InvitedPeer(endpoint, _decode_key(key), _decode_text(login), _decode_text(password))


def _decode_key(text: str) -> PublicKey:
    try:
        return decode_key(text + KEY_SUFFIX)
    except DecodeError as error:
        raise InvitationError(f"an invitation with a wrong key: {error}") from None


def _decode_text(value: str) -> str:
    data = _ENCODED.sub(lambda found: bytes([int(found[1], 16)]), value.encode())
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise InvitationError("an invitation with a text that is not UTF-8") from None
    if _CONTROL.search(text):
        raise InvitationError("an invitation with a control character in it")
    return text


def _check(body: str) -> str:
    """CRC-32 of the text in small letters: finds every error within 32 bits that stand together."""
    return encode_base32(zlib.crc32(body.encode()).to_bytes(4, "little"))


def _damaged() -> InvitationError:
    hint = "A character is missing, wrong or swapped; copy or scan it once more."
    return InvitationError("the invitation is damaged: its checksum does not fit", hint)
