"""Open real TUN devices in a machine of their own, on each rung."""

from __future__ import annotations

import sys

import pytest

from tests.netns.conftest import World

pytestmark = pytest.mark.netns

_OPEN = """
import sys
from dexmesh.host.tun import open_tun
opened = open_tun(sys.argv[1] if len(sys.argv) > 1 else None)
print(opened.name, opened.mode.name)
"""


_CONFIGURE = """
import asyncio, subprocess, sys
from dexmesh.errors import HostError
from dexmesh.host.netlink import configure_tun
from dexmesh.host.tun import open_tun
from dexmesh.wire.address import parse_address
opened = open_tun("mesh0")
try:
    asyncio.run(configure_tun(sys.argv[1], parse_address("fc00::1")))
    asyncio.run(configure_tun(sys.argv[1], parse_address("fc00::1")))
except HostError as error:
    sys.exit(f"{type(error).__name__}: {error}")
for words in (["-d", "link", "show", "mesh0"], ["-6", "addr", "show", "mesh0"], ["-6", "route"]):
    print(subprocess.run(["ip", *words], capture_output=True, text=True).stdout)
"""


@pytest.mark.parametrize(("rung", "name"), [("uso", "USO"), ("tso", "TSO"), ("off", "PLAIN")])
def test_each_rung_opens_with_a_chosen_name_and_leaves_nothing_behind(
    world: World, rung: str, name: str
) -> None:
    machine = world.lab.machine("a")
    env = {"DEXMESH_TUN_OFFLOAD": rung}
    done = machine.run([sys.executable, "-c", _OPEN, "mesh0"], env=env)
    assert done.stdout.split() == ["mesh0", name]
    assert machine.run(["ip", "link", "show", "mesh0"], check=False).returncode != 0
    assert machine.run([sys.executable, "-c", _OPEN], env=env).stdout.split() == ["tun0", name]


def test_a_device_made_before_is_attached_to_and_stays(world: World) -> None:
    machine = world.lab.machine("a")
    machine.run(["ip", "tuntap", "add", "mine", "mode", "tun"])
    done = machine.run([sys.executable, "-c", _OPEN, "mine"])
    assert done.stdout.split() == ["mine", "USO"]
    assert machine.run(["ip", "link", "show", "mine"]).returncode == 0


def test_a_device_of_another_kind_and_one_in_use_are_refused_with_a_hint(world: World) -> None:
    machine = world.lab.machine("a")
    machine.run(["ip", "tuntap", "add", "tap0", "mode", "tap"])
    done = machine.run([sys.executable, "-c", _OPEN, "tap0"], check=False)
    assert "not a TUN device" in done.stderr
    script = f"{_OPEN}open_tun('mesh0')\n"
    done = machine.run([sys.executable, "-c", script, "mesh0"], check=False)
    assert "in use by another program" in done.stderr


def test_the_device_gets_its_sizes_its_address_and_the_route_and_may_get_them_again(
    world: World,
) -> None:
    machine = world.lab.machine("a")
    told = machine.run([sys.executable, "-c", _CONFIGURE, "mesh0"]).stdout
    for fact in (
        "mtu 1304",
        "qlen 2000",
        "gso_max_segs 48",
        ",UP,",
        "inet6 fc00::1/8 scope global",
    ):
        assert fact in told
    assert "fc00::/8 dev mesh0" in told
    assert "tentative" not in told


def test_a_device_that_is_gone_and_a_kernel_that_refuses_are_errors_with_names(
    world: World,
) -> None:
    machine = world.lab.machine("a")
    gone = machine.run([sys.executable, "-c", _CONFIGURE, "mesh1"], check=False)
    assert "TunError: the TUN device mesh1 is gone" in gone.stderr
    machine.run(["ip", "tuntap", "add", "mesh0", "mode", "tun", "user", "root"])
    argv = ["setpriv", "--bounding-set", "-net_admin", "--", sys.executable, "-c", _CONFIGURE]
    refused = machine.run([*argv, "mesh0"], check=False)
    assert "PermissionNeededError: cannot give mesh0" in refused.stderr
