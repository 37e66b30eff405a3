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
