"""Our admin clients read and steer a running node of the original.

A node without TUN and without peers is enough, so this needs no namespaces and no rights.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from dexmesh.admin.async_client import AsyncAdminClient
from dexmesh.admin.client import AdminClient
from dexmesh.admin.login import AdminLogin
from dexmesh.cli.lab import wait_until
from dexmesh.errors import (
    AdminError,
    AuthFailedError,
    BadArgumentError,
    NoNodeError,
    UnknownFunctionError,
)
from tests.interop.original import ORIGINAL, needs_original

pytestmark = [pytest.mark.interop, needs_original]

PASSWORD = "s3cr3tAdminPass"


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(params=[PASSWORD, "NONE"], ids=["password", "open"])
def login(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AdminLogin]:
    login = AdminLogin(port=free_port(), password=request.param.encode())
    conf = {
        "privateKey": os.urandom(32).hex(),
        "admin": {"bind": login.where, "password": request.param},
        "interfaces": {"UDPInterface": [{"bind": "127.0.0.1:0"}]},
        "security": [{"setuser": 0}, {"chroot": 0}, {"noforks": 0}, {"seccomp": 0}],
        "pipe": str(tmp_path / "pipe.sock"),
        "noBackground": 1,
        "version": 2,
    }
    file = tmp_path / "cjdroute.conf"
    file.write_text(json.dumps(conf))
    with (
        file.open("rb") as stdin,
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen([ORIGINAL, "--nobg"], stdin=stdin, stdout=log, stderr=log) as process,
    ):
        try:
            wait_until(lambda: is_configured(login), 20, "the original is configured")
            yield login
        finally:
            end(login)
            process.terminate()


def is_configured(login: AdminLogin) -> bool:
    with AdminClient(login, 0.5) as client:
        try:
            client.call("NodeStore_dumpTable", page=0)  # the last part of it to come up
            return len(client.pages("InterfaceController_interfaces", "ifaces")) == 1
        except (NoNodeError, AdminError):
            return False


def end(login: AdminLogin) -> None:
    """It may be gone before its answer."""
    with AdminClient(login, 1) as client, contextlib.suppress(AdminError):
        client.call("Core_exit")


def test_our_client_reads_and_steers_the_original(login: AdminLogin) -> None:
    with AdminClient(login) as client:
        client.ping()
        assert client.call("Core_nodeInfo")["version"] in (20, 22)
        assert len(client.functions()) > 80
        for number in range(20):
            client.call("AuthorizedPasswords_add", password=b"pw", user=f"u{number}")
        users = client.pages("AuthorizedPasswords_list", "users")
        assert users == ["Local Peers", *(f"u{number}" for number in range(20))]
        assert client.peers() == client.sessions() == []
        assert client.call("SwitchPinger_ping", path="0000.0000.0000.0001")["result"] == "pong"
        assert [node["bucket"] for node in client.table()] == [127]


def test_refusals_of_the_original_are_the_same_exceptions(login: AdminLogin) -> None:
    with AdminClient(login) as client:
        with pytest.raises(BadArgumentError) as caught:
            client.call("NodeStore_dumpTable")
        assert caught.value.name == "page"
        with pytest.raises(UnknownFunctionError):
            client.call("NoSuchFunction")
    with (
        AdminClient(AdminLogin(port=login.port, password=b"wrong")) as stranger,
        pytest.raises(AuthFailedError),
    ):
        stranger.call("ping")


def test_our_asyncio_client_hears_the_log_of_the_original(login: AdminLogin) -> None:
    async def use(client: AsyncAdminClient) -> None:
        messages = client.stream("AdminLog_subscribe", level="DEBUG")
        assert (await anext(messages))["error"] == "none"
        await client.call("AdminLog_logMany", count=1)
        while "streamId" not in await anext(messages):
            pass
        await messages.aclose()

    asyncio.run(with_client(login, use))


async def with_client(
    login: AdminLogin, use: Callable[[AsyncAdminClient], Awaitable[None]]
) -> None:
    client = await AsyncAdminClient.connect(login)
    try:
        await use(client)
    finally:
        client.close()
