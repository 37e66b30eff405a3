"""Let users in and give each client its session, as pymap's interfaces want it.

Place     connection.py -> here -> backend.py; passwords.py says who may
Spec      RFC 3501 §6.2; RFC 4616 (PLAIN); RFC 6154 (SPECIAL-USE)
Keeps     nobody is somebody else: no roles, no tokens, no proxying; what a client says is verified away
          from the event loop
Not here  counting wrong passwords (passwords.py)
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pymap.backend.session import BaseSession
from pymap.exceptions import AuthorizationFailure, InvalidAuth, NotAllowedError
from pymap.interfaces.login import IdentityInterface, LoginInterface
from pymap.mailbox import MailboxSnapshot
from pymap.selected import SelectedMailbox

from dexmesh.apps.mail.imap.backend import CheckRoom, MailboxSet, Message
from dexmesh.apps.mail.imap.boxes import DRAFTS, SENT, TRASH, Boxes
from dexmesh.apps.mail.imap.content import Contents

if TYPE_CHECKING:
    from pymap.user import UserMetadata
    from pysasl.creds.server import ServerCredentials

    from dexmesh.apps.mail.imap.config import Config

SPECIAL_USE = {SENT: b"Sent", DRAFTS: b"Drafts", TRASH: b"Trash"}

CheckPassword = Callable[[str, str], Awaitable[bool]]


class Session(BaseSession[Message]):
    """One client that has logged in."""

    def __init__(self, owner: str, config: Config, mailbox_set: MailboxSet) -> None:
        super().__init__(owner)
        self._config = config
        self._mailbox_set = mailbox_set

    @property
    def config(self) -> Config:
        return self._config

    @property
    def mailbox_set(self) -> MailboxSet:
        return self._mailbox_set

    async def list_mailboxes(
        self,
        ref_name: str,
        filter_: str,
        subscribed: bool = False,
        selected: SelectedMailbox | None = None,
    ) -> tuple[Iterable[tuple[str, str | None, Sequence[bytes]]], SelectedMailbox | None]:
        found, updates = await super().list_mailboxes(ref_name, filter_, subscribed, selected)
        shown = [
            (
                name,
                delimiter,
                [*attributes, SPECIAL_USE[name]] if name in SPECIAL_USE else attributes,
            )
            for name, delimiter, attributes in found
        ]
        return shown, updates

    async def select_mailbox(
        self, name: str, readonly: bool = False
    ) -> tuple[MailboxSnapshot, SelectedMailbox]:
        found = await super().select_mailbox(name, readonly)
        self._mailbox_set.selected = await self._mailbox_set.get_mailbox(name)
        return found


class Identity(IdentityInterface):
    """A user whose password was right."""

    def __init__(self, name: str, make_session: Callable[[str], Session]) -> None:
        self._name = name
        self._make_session = make_session

    @property
    def name(self) -> str:
        return self._name

    @property
    def roles(self) -> frozenset[str]:
        return frozenset()

    @asynccontextmanager
    async def new_session(self) -> AsyncIterator[Session]:
        yield self._make_session(self._name)

    async def new_token(self, *, expiration: datetime | None = None) -> str | None:
        return None

    async def get(self) -> UserMetadata:
        raise NotAllowedError

    async def set(self, metadata: UserMetadata) -> int | None:
        raise NotAllowedError

    async def delete(self) -> None:
        raise NotAllowedError


class _Asked:
    """What a client claims to be; it is verified away from the event loop."""

    def __init__(self, user: str) -> None:
        self._user = user
        self.secret = ""

    @property
    def authcid(self) -> str:
        return self._user

    def compare_authcid(self, authcid: str) -> bool:
        return authcid == self._user

    def compare_secret(self, secret: str) -> bool:
        self.secret = secret
        return True

    def get_clear_secret(self) -> str | None:
        return None


class Login(LoginInterface):
    """Asks passwords.py, and opens sessions."""

    def __init__(
        self,
        config: Config,
        boxes: Boxes,
        contents: Contents,
        check_password: CheckPassword,
        check_room: CheckRoom,
    ) -> None:
        self._config = config
        self._boxes = boxes
        self._contents = contents
        self._check_password = check_password
        self._check_room = check_room

    @property
    def tokens(self) -> Any:
        raise NotAllowedError

    async def authenticate(self, credentials: ServerCredentials) -> Identity:
        asked = _Asked(credentials.authcid)
        credentials.verify(asked)
        if not await self._check_password(credentials.authcid, asked.secret):
            raise InvalidAuth
        return Identity(credentials.authcid, self._session)

    async def authorize(self, authenticated: IdentityInterface, authzid: str) -> Identity:
        if authenticated.name != authzid:
            raise AuthorizationFailure
        return Identity(authzid, self._session)

    def _session(self, user: str) -> Session:
        mailboxes = MailboxSet(user, self._boxes, self._contents, self._check_room)
        return Session(user, self._config, mailboxes)
