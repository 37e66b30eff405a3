"""Turn the text of a cjdroute.conf into settings, or into the list of everything wrong with it.

Place     cli/ hands in bytes -> here -> host/daemon.py gets settings
Spec      docs/protocol/09 section 2 "Keys", section 5 "Ours"
Keeps     all mistakes are found in one run, before anything is started; unknown keys only warn
Not here  the grammar (config/dialect.py); interfaces, router, security and credentials have
          files of their own
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import cast, get_args

from dexmesh.config.checker import Checker, Keys
from dexmesh.config.credentials import read_authorized_passwords
from dexmesh.config.dialect import read_document
from dexmesh.config.document import Document
from dexmesh.config.endpoints import BadEndpointError, parse_bind
from dexmesh.config.interfaces import read_ether_interfaces, read_udp_interfaces
from dexmesh.config.routing import read_router
from dexmesh.config.security import read_security
from dexmesh.config.settings import (
    DEFAULT_PIPE,
    AdminSettings,
    LogFormat,
    LoggingSettings,
    LogLevel,
    Settings,
)
from dexmesh.errors import ConfigError, ConfigProblem, DecodeError
from dexmesh.values import dataclass
from dexmesh.wire.address import format_padded
from dexmesh.wire.keys import PrivateKey, PublicKey, address_of, encode_key, is_node_key

Derive = Callable[[bytes], bytes]
"""The public key (32 bytes) of a private key (32 bytes)."""

MAX_ADMIN_PASSWORD_BYTES = 53  # 08: the hash covers 63 bytes of password and cookie
MAX_STATUS_INTERVAL_S = 86_400  # ours

_ADMIN_HINT = 'Write "admin": {"bind": "127.0.0.1:11234", "password": "NONE"}.'


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """Settings that can be started, and what an operator may want to know about them."""

    settings: Settings
    warnings: tuple[ConfigProblem, ...]


def load_settings(data: bytes, name: str, derive: Derive | None = None) -> LoadedConfig:
    """The settings in these bytes of the file called `name`.

    `derive` gives public keys; the engine's when left out. Raises ConfigError with every mistake.
    """
    return check_document(read_document(data, name), derive)


def check_document(document: Document, derive: Derive | None = None) -> LoadedConfig:
    """The settings in a document. Raises ConfigError with every mistake."""
    checker = Checker(document)
    settings = _read_settings(Keys(checker, document.root, "the top level"), derive)
    checker.finish()
    if checker.problems or settings is None:
        raise ConfigError(tuple(checker.problems))
    return LoadedConfig(settings, tuple(checker.warnings))


def _read_settings(root: Keys, derive: Derive | None) -> Settings | None:
    private_key = _read_private_key(root)
    public_key = _read_identity(root, private_key, derive or _engine_derive())
    admin = _read_admin(root)
    users = read_authorized_passwords(root)
    interfaces = root.table("interfaces", "interfaces")
    udp = read_udp_interfaces(interfaces, public_key) if interfaces else ()
    ether = read_ether_interfaces(interfaces, public_key) if interfaces else ()
    if interfaces:
        interfaces.finish()
    router = read_router(root)
    security = read_security(root)
    logging = _read_logging(root)
    pipe = root.text("pipe") or DEFAULT_PIPE
    no_background = root.is_set("noBackground", default=False)
    root.ignore("version", "publicKey", "ipv6")
    root.finish()
    if private_key is None or public_key is None or admin is None:
        return None
    return Settings(
        private_key=private_key,
        public_key=public_key,
        address=address_of(public_key),
        admin=admin,
        authorized_passwords=users,
        udp_interfaces=udp,
        ether_interfaces=ether,
        tun=router.tun,
        supernodes=router.supernodes,
        ip_tunnel=router.ip_tunnel,
        dns_seeds=router.dns_seeds,
        public_peer=router.public_peer,
        security=security,
        logging=logging,
        pipe=pipe,
        no_background=no_background,
    )


def _engine_derive() -> Derive:
    from dexmesh.engine.keys import public_key_of  # loads the compiled engine: only if needed

    return public_key_of


def _read_private_key(root: Keys) -> PrivateKey | None:
    hint = "It has 64 hex digits; `cjdroute --genconf` writes a new one."
    if not root.has("privateKey"):
        root.checker.wrong(root.start, "there is no privateKey", hint)
        return None
    text = root.text("privateKey")
    if text is None:
        return None
    try:
        return PrivateKey.from_hex(text)
    except DecodeError:
        root.checker.wrong(root.place("privateKey"), "privateKey is not 64 hex digits", hint)
        return None


def _read_identity(root: Keys, private_key: PrivateKey | None, derive: Derive) -> PublicKey | None:
    """The public key. The file's own `publicKey` and `ipv6` are only compared with it."""
    if private_key is None:
        return None
    public_key = PublicKey(derive(bytes(private_key)))
    if not is_node_key(public_key):
        message = "the address of this privateKey does not start with fc: nobody would talk to it"
        hint = "Take a key made by `cjdroute --genconf` or `dexmesh config new`."
        root.checker.wrong(root.place("privateKey"), message, hint)
        return None
    expected = {"publicKey": encode_key(public_key), "ipv6": format_padded(address_of(public_key))}
    for name, derived in expected.items():
        written = root.text(name)
        if written is not None and _plain(written) != _plain(derived):
            message = f"{name} is not the one of privateKey, which is {derived}"
            root.checker.warn(root.place(name), message, "privateKey alone counts.")
    return public_key


def _plain(text: str) -> str:
    """A key or address in one form, for comparing."""
    try:
        return ipaddress.IPv6Address(text).exploded
    except ValueError:
        return text.lower()


def _read_admin(root: Keys) -> AdminSettings | None:
    keys = root.table("admin", "admin")
    if keys is None:
        if not root.has("admin"):
            root.checker.wrong(root.start, "there is no admin section", _ADMIN_HINT)
        return None
    password = keys.octets("password")
    text = keys.text("bind")
    if not keys.has("bind"):
        keys.checker.wrong(keys.start, "admin has no bind", _ADMIN_HINT)
    keys.finish()
    if password is not None and len(password) > MAX_ADMIN_PASSWORD_BYTES:
        message = f"the admin password has {len(password)} bytes"
        hint = f"Clients can only use {MAX_ADMIN_PASSWORD_BYTES}."
        keys.checker.wrong(keys.place("password"), message, hint)
    return None if text is None else _admin_at(keys, text, password)


def _admin_at(keys: Keys, text: str, password: bytes | None) -> AdminSettings | None:
    try:
        bind = parse_bind(text)
    except BadEndpointError as error:
        keys.checker.wrong(keys.place("bind"), f"admin.bind {text!r}: {error}", _ADMIN_HINT)
        return None
    if bind.port == 0:
        keys.checker.wrong(keys.place("bind"), "admin.bind has no port", _ADMIN_HINT)
        return None
    if password in (b"NONE", b"") and not ipaddress.ip_address(bind.host).is_loopback:
        message = "whoever reaches this address can steer the node: the admin password is NONE"
        hint = "Bind to 127.0.0.1, or set a password."
        keys.checker.warn(keys.place("bind"), message, hint)
    return AdminSettings(bind.host, bind.port, password)


def _read_logging(root: Keys) -> LoggingSettings:
    """cjdns' `logging` and our own `dexmesh` block together."""
    to_stdout = False
    if (keys := root.table("logging", "logging")) is not None:
        target = keys.text("logTo")
        to_stdout = target == "stdout"
        if target is not None and not to_stdout:
            keys.checker.warn(keys.place("logTo"), 'logTo has no effect unless it is "stdout"')
        keys.finish()
    own = root.table("dexmesh", "dexmesh")
    if own is None:
        return LoggingSettings(to_stdout)
    level = _choice(own, "logLevel", get_args(LogLevel), "info")
    log_format = _choice(own, "logFormat", get_args(LogFormat), "auto")
    interval = own.integer("statusInterval", 0, MAX_STATUS_INTERVAL_S) or 0
    own.finish()
    return LoggingSettings(
        to_stdout, cast("LogLevel", level), cast("LogFormat", log_format), interval
    )


def _choice(keys: Keys, name: str, choices: tuple[str, ...], default: str) -> str:
    text = keys.text(name)
    if text is None or text in choices:
        return text or default
    keys.checker.wrong(keys.place(name), f"{name} is unknown", f"Known are {', '.join(choices)}.")
    return default
