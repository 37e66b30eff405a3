"""Ten machines with ten nodes, started cold: everybody finds everybody.

line: 1 - 2 - ... - 10        tree: each node hangs under number // 2
"""

from __future__ import annotations

import pytest

from tests.netns.conftest import World
from tests.netns.reach import parent_of, reach_all

pytestmark = pytest.mark.netns


@pytest.mark.parametrize("shape", ["line", "tree"])
def test_every_node_of_ten_reaches_every_other(world: World, shape: str) -> None:
    nodes = [world.node(f"n{number}") for number in range(1, 11)]
    for number in range(2, 11):
        world.join(nodes[number - 1], nodes[parent_of(number, shape) - 1])
    for node in nodes:
        node.begin()
    for node in nodes:
        node.wait_online()
    assert reach_all(nodes, 60) == []
