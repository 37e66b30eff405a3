"""Tell pymap what this server offers; nothing is taken from the environment or looked up.

Place     server.py -> here -> pymap's connection and state machine
Spec      RFC 3501 §6.1.1; RFC 4315, 6154, 6851, 7888, 7889
Keeps     no host name is asked for, no certificate or password file of pymap's is read
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence
from ssl import SSLContext

from proxyprotocol.noop import ProxyProtocolNoop
from pymap.concurrent import Subsystem
from pymap.config import BackendCapability, IMAPConfig
from pysasl import SASLAuth
from pysasl.hashing import Cleartext

_MECHANISMS = (b"PLAIN", b"LOGIN")


class Config(IMAPConfig):
    """The settings of one listening socket."""

    def __init__(self, tls: SSLContext | None, max_message_bytes: int) -> None:
        super().__init__(
            Namespace(passlib_cfg=None, proxy_protocol=None),
            host=None,
            port=0,
            subsystem=Subsystem.for_asyncio(),
            cpu_subsystem=Subsystem.for_asyncio(),
            hash_context=Cleartext(),
            ssl_context=tls or _no_tls(),
            tls_enabled=tls is not None,
            proxy_protocol=ProxyProtocolNoop(),
            max_append_len=max_message_bytes,
        )

    @property
    def backend_capability(self) -> BackendCapability:
        return BackendCapability(
            idle=True, object_id=False, multi_append=True, custom=[b"SPECIAL-USE"]
        )

    @property
    def login_capability(self) -> Sequence[bytes]:
        return [one for one in super().login_capability if one != b"BINARY"]

    @property
    def initial_auth(self) -> SASLAuth:
        return self.tls_auth  # only programs of this machine get here

    @property
    def tls_auth(self) -> SASLAuth:
        return SASLAuth.named(_MECHANISMS)

    @property
    def greeting(self) -> bytes:
        return b"dexmesh is ready"

    @property
    def id_response(self) -> Mapping[bytes, bytes] | None:
        return {b"name": b"dexmesh"}


def _no_tls() -> SSLContext:
    """pymap wants one even where it offers none; without a certificate it serves nobody."""
    import ssl

    return SSLContext(ssl.PROTOCOL_TLS_SERVER)
