"""Put an admin server together: which functions a node offers, on one page.

Place     host/daemon.py -> here -> server.py; endpoint.py gives it a socket
Spec      docs/protocol/08 §6, §11: only what works is offered
"""

from __future__ import annotations

from dexmesh.admin.functions.admin import admin_functions
from dexmesh.admin.functions.beacons import beacon_functions
from dexmesh.admin.functions.core import core_functions
from dexmesh.admin.functions.interfaces import interface_functions, udp_functions
from dexmesh.admin.functions.log import log_functions
from dexmesh.admin.functions.measurements import measurement_functions
from dexmesh.admin.functions.nodestore import nodestore_functions
from dexmesh.admin.functions.passwords import password_functions
from dexmesh.admin.functions.pinger import pinger_functions
from dexmesh.admin.functions.router import router_functions
from dexmesh.admin.functions.search import search_functions
from dexmesh.admin.functions.security import security_functions
from dexmesh.admin.functions.sessions import session_functions
from dexmesh.admin.log_stream import LogStream
from dexmesh.admin.registry import Registry
from dexmesh.admin.server import AdminServer
from dexmesh.admin.services import NodeServices


def admin_server(
    node: NodeServices, password: bytes, log_stream: LogStream | None = None
) -> AdminServer:
    """The server of a node. Without a log stream (`logTo` stdout) there is no AdminLog_*."""
    registry = Registry()
    server = AdminServer(registry, password)
    topics = [
        admin_functions(registry),
        core_functions(node),
        password_functions(node),
        interface_functions(node),
        udp_functions(node),
        beacon_functions(node),
        session_functions(node),
        pinger_functions(node),
        router_functions(node),
        nodestore_functions(node),
        search_functions(node),
        security_functions(node),
        measurement_functions(node, server.drops),
        [] if log_stream is None else log_functions(log_stream, server.is_tracked),
    ]
    for topic in topics:
        for function in topic:
            registry.learn(function)
    return server
