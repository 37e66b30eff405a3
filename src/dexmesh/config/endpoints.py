"""Take apart the `address:port` texts of a configuration.

Place     config/reader.py, config/peers.py -> here
Spec      docs/protocol/04 section 2.1 "connectTo", docs/protocol/09 section 2 "Keys"
Keeps     no name is looked up: resolving is the host's work
"""

from __future__ import annotations

import ipaddress
import re
from typing import Literal

from dexmesh.values import dataclass

_BRACKETED = re.compile(r"\[([^\[\]]*)\](?::(.*))?\Z", re.DOTALL)
_HOST_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)\Z")
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound


class BadEndpointError(ValueError):
    """A text is no endpoint. `hint` says how to write one."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class HostPort:
    """`host` is an IP literal without brackets or a host name (`family` None); `port` 0 is any."""

    host: str
    port: int
    family: Literal[4, 6] | None


def parse_bind(text: str) -> HostPort:
    """A local address; without a port, any will do. Raises BadEndpointError."""
    parsed = _parse(text, "Write it like 0.0.0.0:5000 or [::]:5000", port_needed=False)
    if parsed.family is None:
        message = "a local address is an IP address, not a name"
        raise BadEndpointError(message, "Write it like 0.0.0.0:5000 or [::]:5000")
    return parsed


def parse_peer(text: str) -> HostPort:
    """A peer's address; the all-zero address means this machine. Raises BadEndpointError."""
    hint = "Write it like 192.0.2.1:5000, [2001:db8::1]:5000 or peer.example.org:5000"
    parsed = _parse(text, hint, port_needed=True)
    return HostPort(_LOOPBACK.get(parsed.host, parsed.host), parsed.port, parsed.family)


def _parse(text: str, hint: str, *, port_needed: bool) -> HostPort:
    host, port_text = _split(text, hint)
    if port_text is None and port_needed:
        raise BadEndpointError("the port is missing", hint)
    port = 0 if port_text is None else _port(port_text, hint)
    if port_needed and port == 0:
        raise BadEndpointError("port 0 cannot be called", hint)
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        if text.startswith("[") or not _is_host_name(host):
            raise BadEndpointError("this is not an address", hint) from None
        return HostPort(host.rstrip(".").lower(), port, None)
    if "%" in host:
        raise BadEndpointError("an address with a zone (%) is not supported", hint)
    return HostPort(str(address), port, 4 if address.version == 4 else 6)


def _split(text: str, hint: str) -> tuple[str, str | None]:
    """Host and port as written; an IPv6 address needs brackets to have a port."""
    if text.startswith("["):
        found = _BRACKETED.match(text)
        if not found:
            raise BadEndpointError("the brackets do not match", hint)
        return found.group(1), found.group(2)
    if text.count(":") > 1:
        try:
            ipaddress.IPv6Address(text)
        except ValueError:
            raise BadEndpointError("this is not an address", hint) from None
        return text, None
    host, colon, port = text.partition(":")
    return host, port if colon else None


def _port(text: str, hint: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535):
        raise BadEndpointError("the port must be a number up to 65535", hint)
    return int(text)


def _is_host_name(host: str) -> bool:
    labels = host.removesuffix(".").split(".")
    if labels[-1].isdigit():  # 300.1.2.3 is a mistyped address, not a name
        return False
    return len(host) <= 253 and all(_HOST_LABEL.match(label) for label in labels)
