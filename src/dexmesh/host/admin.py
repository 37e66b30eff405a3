"""Open the admin port of the daemon.

Place     daemon.py -> here -> admin/ (assembly, endpoint, log stream)
Spec      docs/protocol/08 §1, §7; 09 §2 (admin.bind, admin.password, logging.logTo)
Keeps     no other client gets in where the configuration names no password
"""

from __future__ import annotations

import logging
import secrets

from dexmesh.admin.assembly import admin_server
from dexmesh.admin.auth import refuse_open_bind
from dexmesh.admin.endpoint import AdminEndpoint, open_endpoint
from dexmesh.admin.log_stream import LogStream
from dexmesh.admin.services import NodeServices
from dexmesh.config.settings import AdminSettings
from dexmesh.host.logs import describe


async def open_admin(
    settings: AdminSettings, node: NodeServices, *, with_log_stream: bool
) -> AdminEndpoint:
    """Listen where the configuration says. Raises BindError with a hint."""
    password = settings.password
    if password is None:
        password = secrets.token_hex(16).encode()
    refuse_open_bind(settings.host, password)
    stream = LogStream(logging.getLogger("dexmesh"), describe) if with_log_stream else None
    server = admin_server(node, password, stream)
    return await open_endpoint(server, settings.host, settings.port, stream)
