"""Signs of life read from the admin port of the original.

a (original, watched by us) ---- b (original)
a (original, watched by us) ---- r (original) ---- b (original)
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from dexmesh.cli.lab import wait_until
from tests.interop.mixed import reaches, start_line
from tests.interop.original import Original, needs_original
from tests.netns.conftest import World

pytestmark = [pytest.mark.interop, needs_original]

ROOT = Path(__file__).parents[2]
LIMIT_S = 5.0
OFF_S = 22.0


def signs(a: Original) -> list[float]:
    """When the watcher spoke."""
    lines = a.machine.log("watch.log").splitlines()
    assert all(line.startswith("sign ") for line in lines), lines
    return [float(line.split()[1]) for line in lines]


@pytest.mark.parametrize("kinds", [["original"] * 2, ["original"] * 3], ids=["link", "distant"])
def test_the_return_of_a_node_shows_in_the_tables_of_the_original(
    world: World, kinds: list[str]
) -> None:
    nodes = start_line(world, kinds)
    a, b = nodes[0], nodes[-1]
    assert isinstance(a, Original)
    assert isinstance(b, Original)
    reaches(a, b, 60)
    b.stop()
    stopped = time.monotonic()
    time.sleep(12)  # longer than what counts as being there
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
    code += "import runpy; runpy.run_module('tests.interop.watcher', run_name='__main__')"
    argv = [sys.executable, "-c", code, a.address, b.address]
    a.machine.start(argv, log="watch.log")
    time.sleep(max(0.0, stopped + OFF_S - time.monotonic()))
    assert signs(a) == []  # nobody is there, whatever our own node sends
    b.start()
    wait_until(lambda: any(one["state"] == "ESTABLISHED" for one in b.peers()), 30, "a link of b")
    linked = time.monotonic()
    if len(kinds) > 2:  # from far away it shows itself by sending, as our mail service does
        b.machine.start(["ping", "-i", "0.5", "-c", "20", a.address], log="ping.log")
        linked = time.monotonic()
    wait_until(lambda: bool(signs(a)), LIMIT_S + 20, "a sign of life")
    print(f"sign {signs(a)[0] - linked:+.2f} s after b showed itself")
    assert signs(a)[0] - linked <= LIMIT_S
    time.sleep(20)
    assert len(signs(a)) <= 4  # a node that stays is no news
