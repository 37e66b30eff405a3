"""Say what a checked cjdroute.conf asks for, as typed values.

Place     config/reader.py -> here -> host/daemon.py, host/setup of interfaces, cli/
Spec      docs/protocol/09 section 2 "Keys", section 4 "Security steps"
Keeps     values are complete and checked: nobody behind this needs to validate again;
          secrets are left out of every repr
Not here  reading (config/dialect.py), checking (config/reader.py), writing (config/write.py)
"""

from __future__ import annotations

from enum import Enum
from typing import Literal

from dexmesh.values import dataclass, field
from dexmesh.wire.address import Address
from dexmesh.wire.keys import PrivateKey, PublicKey

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["auto", "text", "json"]
Family = Literal[4, 6]

DEFAULT_PIPE = "/tmp/cjdroute.sock"  # noqa: S108 - the documented default of cjdroute
DEFAULT_USER = "nobody"
DEFAULT_CHROOT = "/var/run/"


@dataclass(frozen=True, slots=True)
class AdminSettings:
    """Where the admin RPC listens. `host` is an IP literal, never a name.

    `password` None means the file has none: draw a random one, so that no other client gets in.
    """

    host: str
    port: int
    password: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class AuthorizedPassword:
    """A credential that lets a peer in: 1-64 bytes of password, a login, and whom it is for.

    `user` None gives the name `Anon #N`; `address` (16 bytes) restricts it to that node.
    """

    password: bytes = field(repr=False)
    user: bytes | None = None
    address: Address | None = None


@dataclass(frozen=True, slots=True)
class ConnectTo:
    """A peer we call. `host` is an IPv4 or IPv6 literal without brackets, or a host name.

    `public_key` has 32 bytes; `login` None means "present the password alone" (auth type 1).
    `version` is the protocol version to assume before the peer tells its own, if the file says.
    """

    host: str
    port: int
    public_key: PublicKey
    password: bytes = field(repr=False)
    login: bytes | None = None
    peer_name: str | None = None
    version: int | None = None

    @property
    def endpoint(self) -> str:
        """The way the file writes it: `host:port`, IPv6 in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UdpInterfaceSettings:
    """One UDP socket. `bind_port` 0 means any; `bind_family` is 4 or 6.

    `beacon` is 0 off, 1 accept, 2 send and accept.
    """

    bind_host: str
    bind_port: int
    bind_family: Family = 4
    dscp: int = 0
    beacon: int = 0
    beacon_devices: tuple[str, ...] = ()
    beacon_port: int | None = None
    connect_to: tuple[ConnectTo, ...] = ()


@dataclass(frozen=True, slots=True)
class EtherPeer:
    """A peer reached by its MAC address (6 bytes)."""

    mac: bytes
    public_key: PublicKey
    password: bytes = field(repr=False)
    login: bytes | None = None
    peer_name: str | None = None


@dataclass(frozen=True, slots=True)
class EtherInterfaceSettings:
    """One Ethernet device, or `all`."""

    device: str
    beacon: int = 0
    connect_to: tuple[EtherPeer, ...] = ()


class TunKind(Enum):
    """How IPv6 packets of this machine reach the node."""

    TUN = "TUNInterface"
    SOCKET = "SocketInterface"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class TunSettings:
    """`device` is the wished TUN name (None: the kernel picks); `socket_path` only with SOCKET."""

    kind: TunKind
    device: str | None = None
    socket_path: str | None = None


NO_TUN = TunSettings(TunKind.NONE)


@dataclass(frozen=True, slots=True)
class AllowedTunnel:
    """A node that may use us as exit, and the addresses it gets there."""

    public_key: PublicKey
    ip4_address: str | None = None
    ip4_prefix: int | None = None
    ip4_alloc: int | None = None
    ip6_address: str | None = None
    ip6_prefix: int | None = None
    ip6_alloc: int | None = None


@dataclass(frozen=True, slots=True)
class IpTunnelSettings:
    """Both sides of ipTunnel: nodes that may use us, and exits (public keys) we use."""

    allowed: tuple[AllowedTunnel, ...] = ()
    outgoing: tuple[PublicKey, ...] = ()


NO_TUNNELS = IpTunnelSettings()


@dataclass(frozen=True, slots=True)
class PublicPeer:
    """What a node tells DNS seeds about itself (`router.publicPeer`)."""

    peer_id: str
    ipv4: str | None = None
    ipv6: str | None = None


@dataclass(frozen=True, slots=True)
class SecuritySettings:
    """What the process gives up after set-up. `user` or `chroot` None means "stay as you are".

    `setup_complete` False is a test aid of the original: the watchdog then ends the node.
    """

    user: str | None = DEFAULT_USER
    keep_net_admin: bool = True
    chroot: str | None = DEFAULT_CHROOT
    nofiles: bool = False
    noforks: bool = True
    seccomp: bool = True
    setup_complete: bool = True


@dataclass(frozen=True, slots=True)
class LoggingSettings:
    """`to_stdout` is cjdns' `logging.logTo`; the rest comes from our own `dexmesh` block.

    `status_interval_s` 0 switches the periodic status line off.
    """

    to_stdout: bool = False
    level: LogLevel = "info"
    format: LogFormat = "auto"
    status_interval_s: int = 0


@dataclass(frozen=True, slots=True)
class Settings:
    """All of one cjdroute.conf. `address` is that of `public_key` and starts with fc."""

    private_key: PrivateKey
    public_key: PublicKey
    address: Address
    admin: AdminSettings
    authorized_passwords: tuple[AuthorizedPassword, ...] = ()
    udp_interfaces: tuple[UdpInterfaceSettings, ...] = ()
    ether_interfaces: tuple[EtherInterfaceSettings, ...] = ()
    tun: TunSettings = NO_TUN
    supernodes: tuple[PublicKey, ...] = ()
    ip_tunnel: IpTunnelSettings = NO_TUNNELS
    dns_seeds: tuple[str, ...] = ()
    public_peer: PublicPeer | None = None
    security: SecuritySettings = SecuritySettings()
    logging: LoggingSettings = LoggingSettings()
    pipe: str = DEFAULT_PIPE
    no_background: bool = False
