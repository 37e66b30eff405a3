"""Hand datagrams to an admin server without a socket, wait for late answers, and judge what comes out.

Place     tests/property/test_admin_datagrams.py, tests/fuzz -> here
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator

from dexmesh.admin.assembly import admin_server
from dexmesh.admin.exchange import decode_reply
from dexmesh.admin.log_stream import LogStream
from dexmesh.admin.server import TOO_BIG, AdminServer, Pending, Reply, answer_of
from dexmesh.admin.values import Answer
from dexmesh.errors import DexmeshError
from tests.unit.admin.calling import SOURCE, START_UNIX_MS
from tests.unit.admin.fake import KEY_B, FakeNode, peer_of, route_to, session_with

MAX_REPLY_BYTES = 65507  # what a UDP datagram carries


def new_server(password: bytes = b"NONE") -> AdminServer:
    """A server over a node with more peers, sessions and routes than one reply holds."""
    node = FakeNode()
    node.links_up = [peer_of(KEY_B)] * 20
    node.open_sessions = [session_with(KEY_B, handle) for handle in range(70)]
    node.table = [route_to(KEY_B)] * 9
    return admin_server(node, password, LogStream(logging.Logger("dexmesh.fuzz")))


def feed(server: AdminServer, datagram: bytes, now: float = 0.0) -> Reply | None:
    """Hand a datagram in, wait for what comes later, and check what comes out."""
    outcome = server.handle_datagram(datagram, SOURCE, START_UNIX_MS, now)
    if isinstance(outcome, Pending):
        outcome = asyncio.run(last_reply(server, outcome, now))
    if outcome is not None:
        assert outcome.source == SOURCE
        assert len(outcome.data) <= MAX_REPLY_BYTES
        assert decode_reply(outcome.data) is not None
        assert (outcome.data == TOO_BIG) == (len(datagram) > 512)
    return outcome


async def last_reply(server: AdminServer, pending: Pending, now: float) -> Reply | None:
    """The last reply to a call that waits."""
    answer: Answer = {}
    try:
        if isinstance(pending.answers, AsyncGenerator):
            async for answer in pending.answers:
                assert answer
        else:
            answer = await pending.answers
    except DexmeshError as error:
        answer = answer_of(error)
    server.finish(pending)
    return server.late_reply(pending, answer, now)
