"""Decide who may send what to whom through the receiver.

Place     receiver.py hands in the connecting address and the envelope -> here -> it answers
Spec      docs/apps/mail.md §1, §4 "Receiver"
Keeps     addresses are compared as 16 bytes, never as text; nobody's mail is passed on; no clock, no
          lookup
Not here  how much a stranger may send (strangers.py), what the message says (receiving.py)
"""

from __future__ import annotations

from dexmesh.apps.base.domains import literal, parse_domain, suggest_tag
from dexmesh.apps.base.mailbox import Mailbox
from dexmesh.apps.base.me import Me
from dexmesh.apps.mail.proto.aliases import POSTMASTER, Aliases, find_users
from dexmesh.apps.mail.proto.refusals import Reason, Refusal
from dexmesh.values import dataclass
from dexmesh.wire.address import Address

LOCAL_NAMES = frozenset({"localhost", "localhost.localdomain"})


@dataclass(frozen=True, slots=True)
class LocalNames:
    """Who lives here: this node, its users in order, their aliases, the names of this machine."""

    me: Me
    users: tuple[str, ...]
    aliases: Aliases
    host_names: frozenset[str]

    def owns(self, domain: str) -> bool:
        """Whether the part behind the @ means this node (mail.md §1: all equal)."""
        name = domain.lower().removesuffix(".")
        if name in LOCAL_NAMES or name in self.host_names:
            return True
        return parse_domain(domain) == self.me.address

    def users_of(self, local: str) -> tuple[str, ...]:
        """The users behind the part before the @; () if nobody is called that."""
        return find_users(local, self.users, self.aliases)


def judge_sender(
    sender: Mailbox | None, remote: Address, *, is_blocked: bool, allows_foreign: bool
) -> Refusal | None:
    """MAIL FROM, None being `<>`: the address says who may be named (mail.md §4)."""
    if is_blocked:
        return Refusal(550, "5.7.1", "mail from your node is not wanted here", Reason.BLOCKED)
    if sender is None:
        return None
    address = parse_domain(sender.domain)
    if address == remote:
        return None
    own = f"your node is {literal(remote)}"
    if address is not None:
        text = f"<{sender}> does not belong to the node that connects; {own}"
        return Refusal(550, "5.7.1", text, Reason.SPOOFED)
    if (right := suggest_tag(str(sender))) is not None:
        return Refusal(550, "5.7.1", f"write <{right}> for <{sender}>", Reason.NO_TAG)
    if allows_foreign and sender.domain:
        return None
    text = f"<{sender}> is no address of the mesh; {own}"
    return Refusal(550, "5.7.1", text, Reason.FOREIGN_SENDER)


def judge_recipient(mailbox: Mailbox, here: LocalNames) -> tuple[str, ...] | Refusal:
    """RCPT TO: the local users it is for. Never a relay."""
    is_postmaster = not mailbox.domain and mailbox.local.lower() == POSTMASTER
    if not is_postmaster and not here.owns(mailbox.domain):
        text = f"<{mailbox}> does not live here, and nothing is passed on"
        if (right := suggest_tag(str(mailbox))) is not None:
            text = f"write <{right}>"
            return Refusal(550, "5.7.1", text, Reason.NO_TAG)
        return Refusal(550, "5.7.1", text, Reason.RELAY)
    users = here.users_of(mailbox.local)
    if not users:
        return Refusal(550, "5.1.1", f"no mailbox <{mailbox}> here", Reason.UNKNOWN_USER)
    return users
