"""Say what the apps are to do: `apps.toml` in their home, read and written.

Place     cli/mail_service.py writes it; the service and every app command read it
Spec      docs/apps/mail.md §4 (limits and switches)
Keeps     a file that cannot be used is refused with file, line and what to do; it is replaced whole
          or not at all
Not here  where it lies (home.py); the text and its lines (tables.py); cjdroute.conf (config/)
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dexmesh.apps.base.home import Home
from dexmesh.apps.base.tables import Document, Table
from dexmesh.errors import ConfigError, ConfigProblem, DecodeError, HostError, PermissionNeededError
from dexmesh.values import dataclass, field
from dexmesh.wire.keys import PublicKey, decode_key, encode_key

MAX_FILE_BYTES = 1 << 20  # ours
MAX_USERS = 1000  # ours
MAX_ALIASES = 10_000  # ours
MAX_MESSAGE_BYTES = 36_700_160  # 35 MiB, as OpenSMTPD announces: 25 MiB of attachments in base64
QUOTA_BYTES = 10 << 30  # ours

_USER_NAME = re.compile(r"[a-z0-9_][a-z0-9._-]{0,63}")
_ALIAS = re.compile(r"[^\s\"\\@<>()\[\],;:]{1,64}")
_HOST_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_LOOPBACK = re.compile(r"127\.\d{1,3}\.\d{1,3}\.\d{1,3}")
_MOST_BYTES = 1 << 60


@dataclass(frozen=True, slots=True)
class UserSettings:
    """A local user. `account`: the Unix account that may act as this user (None: of the same name).

    `mbox`: a file mail is appended to; None: a Maildir in the home.
    """

    name: str
    account: str | None = None
    mbox: Path | None = None
    quota_bytes: int = QUOTA_BYTES

    @property
    def account_name(self) -> str:
        """The Unix account of this user."""
        return self.account or self.name


@dataclass(frozen=True, slots=True)
class MailSettings:
    """The mail service. `account` is who it runs as; `aliases` name local users; port 0 is off."""

    is_on: bool = False
    account: str | None = None
    users: tuple[UserSettings, ...] = ()
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    aliases_file: Path | None = None
    max_message_bytes: int = MAX_MESSAGE_BYTES
    quota_bytes: int = QUOTA_BYTES
    allow_foreign_senders: bool = False
    host_names: tuple[str, ...] = ()
    receive_port: int = 25
    submission_ports: tuple[int, ...] = (25, 587)
    imap_port: int = 143

    def user(self, name: str) -> UserSettings | None:
        """The local user of this name, in any case."""
        wanted = name.lower()
        return next((user for user in self.users if user.name == wanted), None)


@dataclass(frozen=True, slots=True)
class NamesSettings:
    """The stub resolver."""

    is_on: bool = True
    host: str = "127.0.0.67"
    port: int = 53


@dataclass(frozen=True, slots=True)
class PhoneSettings:
    """The phone, for the users of the mail settings. Media ports are even, each with the odd one above it.

    `greeting`: a WAV file that voicemail plays.
    """

    is_on: bool = False
    port: int = 5060
    media_ports: tuple[int, int] = (7078, 7098)
    strangers_ring: bool = False
    has_voicemail: bool = True
    greeting: Path | None = None


@dataclass(frozen=True, slots=True)
class AppSettings:
    """Everything in apps.toml. `key` is the public key of the node the apps belong to."""

    key: PublicKey
    mail: MailSettings = field(default_factory=MailSettings)
    names: NamesSettings = field(default_factory=NamesSettings)
    phone: PhoneSettings = field(default_factory=PhoneSettings)

    @property
    def is_anything_on(self) -> bool:
        """Whether there is something to serve."""
        return self.mail.is_on or self.phone.is_on


def is_user_name(text: str) -> bool:
    """Whether a local user can be called that: it names a folder, too."""
    return _USER_NAME.fullmatch(text) is not None


def has_mbox(mail: MailSettings) -> bool:
    """Whether somebody's mail is appended to a file elsewhere."""
    return any(user.mbox is not None for user in mail.users)


def load_settings(home: Home) -> AppSettings:
    """What apps.toml says. Raises ConfigError (file, line, hint) if it is missing or wrong."""
    path = home.settings_file
    try:
        data = _read(path)
    except FileNotFoundError:
        hint = "`dexmesh mail on` makes it, --home names another folder"
        raise ConfigError((ConfigProblem(str(path), 0, 0, "does not exist", hint),)) from None
    except PermissionError:
        hint = "run it as the account the mail service runs as, or as root"
        raise PermissionNeededError(f"{path} may not be read by you", hint) from None
    except OSError as error:
        raise HostError(f"{path} cannot be read: {error.strerror}") from None
    if len(data) > MAX_FILE_BYTES:
        problem = ConfigProblem(str(path), 0, 0, f"is longer than {MAX_FILE_BYTES} bytes", "")
        raise ConfigError((problem,))
    return parse_settings(data, str(path))


def parse_settings(data: bytes, file: str) -> AppSettings:
    """The settings in this text. Raises ConfigError with every mistake in it."""
    document = Document(data, file)
    root = document.root
    key = _read_key(root)
    mail = _read_mail(root.table("mail"))
    names = _read_names(root.table("names"))
    phone = _read_phone(root.table("phone"))
    root.refuse_the_rest()
    document.require_sound()
    return AppSettings(key, mail, names, phone)


def save_settings(home: Home, settings: AppSettings) -> None:
    """Replace apps.toml, durably. Raises HostError when that cannot be.

    Where root writes into the home of another account, the file stays root's and that account's group
    may read it: the supervisor trusts it more then (see `is_from_root`).
    """
    try:
        _replace(home.path, home.settings_file.name, render(settings).encode())
    except PermissionError:
        hint = "run it as the owner of that folder, or as root"
        raise PermissionNeededError(f"{home.path} may not be written by you", hint) from None
    except OSError as error:
        raise HostError(f"{home.settings_file} cannot be written: {error.strerror}") from None


def is_from_root(home: Home) -> bool:
    """Whether nobody but root decided what apps.toml says."""
    try:
        status = home.settings_file.lstat()
    except OSError:
        return False
    return status.st_uid == 0 and stat.S_ISREG(status.st_mode) and not status.st_mode & 0o022


# --- Read ---------------------------------------------------------------------------------------------


def _read(path: Path) -> bytes:
    descriptor = os.open(
        path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
    )  # a FIFO must not hold us
    with os.fdopen(descriptor, "rb") as file:
        return file.read(MAX_FILE_BYTES + 1) or b""


def _read_key(root: Table) -> PublicKey:
    text = root.take_text("key") or ""
    try:
        return decode_key(text)
    except DecodeError as error:
        hint = 'key = "<52 characters>.k": `dexmesh address` shows it, `dexmesh mail on` writes it'
        root.report("key", f"the key of the node: {error.reason}", hint)
        return PublicKey(b"")


def _read_mail(table: Table) -> MailSettings:
    users = tuple(_read_user(one) for one in table.tables("users")[:MAX_USERS])
    names = [user.name for user in users]
    for name in sorted({name for name in names if names.count(name) > 1}):
        table.report("users", f"there are two users {name!r}", "keep one of them")
    settings = MailSettings(
        is_on=table.take_bool("on", False),
        account=table.take_text("account"),
        users=users,
        aliases=_read_aliases(table.table("aliases"), frozenset(names)),
        aliases_file=_path(table, "aliases_file"),
        max_message_bytes=table.take_number("max_message_bytes", MAX_MESSAGE_BYTES, 1, _MOST_BYTES),
        quota_bytes=table.take_number("quota_bytes", QUOTA_BYTES, 1, _MOST_BYTES),
        allow_foreign_senders=table.take_bool("allow_foreign_senders", False),
        host_names=table.take_list("host_names", (), _is_host_name, "host names"),
        receive_port=table.take_number("receive_port", 25, 1, 65535),
        submission_ports=table.take_list("submission_ports", (25, 587), _is_port, "ports"),
        imap_port=table.take_number("imap_port", 143, 0, 65535),
    )
    table.refuse_the_rest()
    return settings


def _read_user(table: Table) -> UserSettings:
    name = table.take_text("name") or ""
    if not is_user_name(name):
        hint = "small letters, digits, . _ - and no more than 64 of them"
        table.report("name", f"{name!r} cannot be the name of a user", hint)
    user = UserSettings(
        name=name,
        account=table.take_text("account"),
        mbox=_path(table, "mbox"),
        quota_bytes=table.take_number("quota_bytes", QUOTA_BYTES, 1, _MOST_BYTES),
    )
    table.refuse_the_rest()
    return user


def _read_aliases(table: Table, users: frozenset[str]) -> Mapping[str, tuple[str, ...]]:
    aliases: dict[str, tuple[str, ...]] = {}
    for name, value in table.items():
        targets = [value] if isinstance(value, str) else value
        if not _ALIAS.fullmatch(name) or len(aliases) >= MAX_ALIASES:
            table.report(name, f"{name!r} cannot be an alias", "write the part before the @ alone")
        elif (
            not isinstance(targets, list) or not targets or not users.issuperset(map(str, targets))
        ):
            known = ", ".join(sorted(users)) or "none yet"
            table.report(name, f"alias {name!r} must name local users", f"they are: {known}")
        else:
            aliases[name.lower()] = tuple(targets)
    return aliases


def _read_names(table: Table) -> NamesSettings:
    settings = NamesSettings(
        is_on=table.take_bool("on", True),
        host=table.take_text("host", "127.0.0.67") or "",
        port=table.take_number("port", 53, 1, 65535),
    )
    if settings.host != "::1" and not _LOOPBACK.fullmatch(settings.host):
        table.report("host", f"{settings.host!r} is not of this machine", "write 127.x.y.z or ::1")
    table.refuse_the_rest()
    return settings


def _read_phone(table: Table) -> PhoneSettings:
    ports = table.take_list("media_ports", (7078, 7098), _is_port, "ports")
    if len(ports) != 2 or ports[0] % 2 or ports[1] < ports[0]:
        table.report("media_ports", "media_ports must be two ports", "the first and last even one")
        ports = (7078, 7098)
    settings = PhoneSettings(
        is_on=table.take_bool("on", False),
        port=table.take_number("port", 5060, 1, 65535),
        media_ports=(ports[0], ports[1]),
        strangers_ring=table.take_bool("strangers_ring", False),
        has_voicemail=table.take_bool("voicemail", True),
        greeting=_path(table, "greeting"),
    )
    table.refuse_the_rest()
    return settings


def _path(table: Table, name: str) -> Path | None:
    text = table.take_text(name)
    if text is None:
        return None
    if not text.startswith("/") or "\0" in text:
        table.report(name, f"{text!r} is no absolute path", "write it from the / on")
    return Path(text)


def _is_port(value: Any) -> bool:
    return type(value) is int and 0 < value <= 65535


def _is_host_name(value: Any) -> bool:
    return isinstance(value, str) and _HOST_NAME.fullmatch(value) is not None


# --- Write --------------------------------------------------------------------------------------------


def render(settings: AppSettings) -> str:
    """The text of apps.toml."""
    mail, names, phone = settings.mail, settings.names, settings.phone
    lines = [
        "# What the apps of dexmesh do here. `dexmesh mail on` and its sisters rewrite this file;",
        "# changes by hand count after a restart of the service.",
        f"key = {_toml(encode_key(settings.key))}  # the node these apps belong to",
        "",
        "[mail]",
        f"on = {_toml(mail.is_on)}",
        *_given("account", mail.account, "the Unix account the service runs as"),
        f"receive_port = {mail.receive_port}  # on the mesh address",
        f"submission_ports = {_toml(mail.submission_ports)}  # on 127.0.0.1 and ::1",
        f"imap_port = {mail.imap_port}  # on 127.0.0.1 and ::1; 0: no IMAP",
        f"max_message_bytes = {mail.max_message_bytes}",
        f"quota_bytes = {mail.quota_bytes}  # everything stored and queued",
        f"allow_foreign_senders = {_toml(mail.allow_foreign_senders)}"
        "  # mail that says it comes from outside the mesh",
        f"host_names = {_toml(mail.host_names)}  # names of this machine, accepted behind the @",
        *_given("aliases_file", mail.aliases_file, "in the form of /etc/aliases"),
    ]
    for user in mail.users:
        lines += ["", "[[mail.users]]", f"name = {_toml(user.name)}"]
        lines += _given("account", user.account, "the Unix account of this user")
        lines += _given("mbox", user.mbox, "mail is appended here")
        lines += [f"quota_bytes = {user.quota_bytes}"]
    lines += ["", "[mail.aliases]", "# postmaster = ['stuart']"]
    lines += [f"{_toml(name)} = {_toml(users)}" for name, users in sorted(mail.aliases.items())]
    lines += ["", "[names]  # answers for .k and .cjdns.alt, without any server"]
    lines += [f"on = {_toml(names.is_on)}", f"host = {_toml(names.host)}", f"port = {names.port}"]
    lines += [
        "",
        "[phone]",
        f"on = {_toml(phone.is_on)}",
        f"port = {phone.port}  # SIP on the mesh address, UDP and TCP",
        f"media_ports = {_toml(phone.media_ports)}  # the first and the last even one",
        f"strangers_ring = {_toml(phone.strangers_ring)}  # who is no contact rings, too",
        f"voicemail = {_toml(phone.has_voicemail)}",
        *_given("greeting", phone.greeting, "a WAV file; without it a short tone is played"),
    ]
    return "\n".join(lines) + "\n"


def _replace(folder: Path, name: str, data: bytes) -> None:
    """Whole or not at all, and never through a link: the folder may belong to somebody else."""
    at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    draft = f".{name}.{secrets.token_hex(6)}"
    try:
        group = os.fstat(at).st_gid
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with os.fdopen(os.open(draft, flags, 0o600, dir_fd=at), "wb") as file:
            file.write(data)
            if os.geteuid() == 0:
                os.fchown(file.fileno(), 0, group)
                os.fchmod(file.fileno(), 0o640)
            file.flush()
            os.fsync(file.fileno())
        os.rename(draft, name, src_dir_fd=at, dst_dir_fd=at)
        os.fsync(at)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(draft, dir_fd=at)
        raise
    finally:
        os.close(at)


def _given(name: str, value: str | Path | None, comment: str) -> list[str]:
    return [] if value is None else [f"{name} = {_toml(value)}  # {comment}"]


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return f"[{', '.join(_toml(one) for one in value)}]"
    if isinstance(value, int):
        return str(value)
    return '"' + "".join(_escaped(character) for character in str(value)) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    return character if character.isprintable() else f"\\U{ord(character):08x}"
