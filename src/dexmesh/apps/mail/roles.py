"""Say what the dialogue of SMTP asks of a server: of the receiver, and of the submission.

Place     smtp.py and serving.py ask -> here -> receiver.py and submission.py answer
Spec      docs/apps/mail.md §4 "Receiver", "Submission"; RFC 3848 (the words of Received)
Keeps     values and signatures only
Not here  the dialogue (smtp.py)
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import field
from typing import Protocol

from dexmesh.apps.base.mailbox import Mailbox
from dexmesh.apps.mail.callback import Callbacks
from dexmesh.apps.mail.incoming import Message
from dexmesh.apps.mail.proto.headers import Header
from dexmesh.apps.mail.proto.refusals import Refusal
from dexmesh.values import dataclass
from dexmesh.wire.address import Address


@dataclass(frozen=True, slots=True)
class Recipient:
    """One accepted RCPT. `users` are the local users behind it; none means another node's mailbox."""

    mailbox: Mailbox
    users: tuple[str, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Talk:
    """What is known about a connection and its current mail."""

    remote: Address
    helo: str = ""
    is_extended: bool = False
    is_encrypted: bool = False
    user: str | None = None
    has_sender: bool = False
    sender: Mailbox | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    recipients: list[Recipient] = field(default_factory=list)

    @property
    def protocol(self) -> str:
        """The word for Received (RFC 3848): ESMTP, ESMTPSA, ..."""
        if not self.is_extended:
            return "SMTP"
        return "ESMTP" + "S" * self.is_encrypted + "A" * (self.user is not None)

    def forget_mail(self) -> None:
        """RSET: sender and recipients are gone, the rest stays."""
        self.has_sender, self.sender, self.parameters, self.recipients = False, None, {}, []


class Role(Protocol):
    """What the two servers decide differently. No method but `take` and `authenticate` waits."""

    @property
    def hostname(self) -> str:
        """How the server calls itself."""

    @property
    def max_bytes(self) -> int:
        """The biggest message."""

    @property
    def tls(self) -> ssl.SSLContext | None:
        """For STARTTLS; None to not offer it."""

    @property
    def has_login(self) -> bool:
        """Whether AUTH is offered."""

    @property
    def has_dsn(self) -> bool:
        """Whether the parameters of RFC 3461 are accepted."""

    @property
    def callbacks(self) -> Callbacks | None:
        """Calls back other nodes that ask (callback.py); None to not offer it."""

    def may_connect(self, address: Address) -> bool:
        """Whether this server talks to that source at all."""

    def judge_sender(self, talk: Talk, sender: Mailbox | None, size: int) -> Refusal | None:
        """MAIL FROM; None as sender is `<>`. `size` is what the client says the message has, else 0."""

    def judge_recipient(
        self, talk: Talk, mailbox: Mailbox, parameters: Mapping[str, str]
    ) -> Recipient | Refusal:
        """RCPT TO."""

    def edit_header(self, talk: Talk, header: Header) -> bytes | Refusal:
        """The header as it is stored, with the empty line."""

    async def take(self, talk: Talk, message: Message) -> Refusal | None:
        """Put the message where it belongs and remove its spool file; None: it is durable."""

    async def authenticate(self, name: str, password: str) -> str | None:
        """The local user with this password."""
