"""Every exception a caller of dexmesh can meet, on one page.

Place     raised anywhere; translated at a border, once; shown to people by cli/
Spec      shared house style, "Errors and drops"
Keeps     the class says who is to blame, `hint` says what to do next
Not here  bytes from the network: they give a value or a drop reason, never an exception past wire/
"""

from __future__ import annotations

from dexmesh.values import dataclass


class DexmeshError(Exception):
    """Base of everything below. `hint` is one sentence telling the user what to do next."""

    hint: str = ""


class UsageError(DexmeshError):
    """The caller broke the contract of an object: a bug of ours, please report it."""


class DecodeError(DexmeshError):
    """Bytes are not what they claim to be (wire/ only). `reason` is short and fixed."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    """One mistake in a configuration: where it is, what it is, what to do."""

    file: str
    line: int
    column: int
    message: str
    hint: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place}: {self.message}" + (f"\n    {self.hint}" if self.hint else "")


class ConfigError(DexmeshError):
    """The configuration cannot be used. `problems` lists every mistake, not only the first."""

    def __init__(self, problems: tuple[ConfigProblem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class HostError(DexmeshError):
    """The operating system refused something the node needs."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class TunError(HostError):
    """The TUN device cannot be made or used; check /dev/net/tun and that IPv6 is enabled."""


class BindError(HostError):
    """A local address cannot be bound; another program has it, or it is not on this machine."""


class PermissionNeededError(HostError):
    """A right is missing; run as root, or give the program CAP_NET_ADMIN as the hint says."""


class NoRouteError(DexmeshError):
    """Nobody we can ask knows a way to that address (yet)."""


class SessionFailedError(DexmeshError):
    """The other end answered, but no session could be made. `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class AdminError(DexmeshError):
    """An admin call failed. `wire_text` is what the other side may read (the `error` value)."""

    def __init__(self, wire_text: str, hint: str = "") -> None:
        super().__init__(wire_text)
        self.wire_text = wire_text
        self.hint = hint


class NoNodeError(DexmeshError):
    """No node answers on the admin address: start one with `dexmesh up`."""

    def __init__(self, where: str) -> None:
        super().__init__(f"no node is listening on {where}")
        self.hint = "start one with `dexmesh up`, or name its configuration with --config"


class AuthFailedError(AdminError):
    """The admin password is wrong; see `admin.password` in cjdroute.conf or ~/.cjdnsadmin."""


class UnknownFunctionError(AdminError):
    """The node does not offer that admin function (or it needs a password)."""


class BadArgumentError(AdminError):
    """An argument of an admin call is missing or of the wrong type. `name` says which."""

    def __init__(self, name: str, wire_text: str) -> None:
        super().__init__(wire_text)
        self.name = name


class AppError(DexmeshError):
    """Something an app (contacts, mail, names) was asked for cannot be done; the text says what."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class AddressError(AppError, ValueError):
    """This text is no mail address; write `name@[IPv6:fc...]` or `name@<key>.k`."""


class ContactError(AppError):
    """A contact, a vCard or an invitation is not taken, or nobody of that name is in the book."""


class MailError(AppError):
    """A mail is not taken. `public_text` goes to the sender, `cause` into the log and nowhere else.

    `code` is the SMTP reply (4xx: try again later, 5xx: never), `enhanced` its RFC 3463 form.
    """

    def __init__(
        self, code: int, enhanced: str, public_text: str, *, cause: str = "", hint: str = ""
    ) -> None:
        super().__init__(f"{code} {enhanced} {public_text}", hint)
        self.code = code
        self.enhanced = enhanced
        self.public_text = public_text
        self.cause = cause

    @property
    def temporary(self) -> bool:
        """Whether the same mail may be taken later."""
        return self.code < 500


class SoundError(AppError):
    """A file or a device gives or takes no sound; the text says why, the hint what to use instead."""


class NoServiceError(AppError):
    """Mail, or the phone, is not served here: `dexmesh mail on` or `phone on`, then `dexmesh up`."""
