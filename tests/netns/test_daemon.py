"""The process of a node: how it ends, and what it refuses before it begins."""

from __future__ import annotations

import json
import sys

import pytest

from tests.netns.conftest import RunningNode, World


@pytest.mark.parametrize("signal", ["TERM", "INT", "HUP"])
def test_a_node_ends_in_order(world: World, signal: str) -> None:
    node = world.node("a")
    node.start()
    node.stop(signal)
    assert "the node is down" in node.machine.log("node.log")


def test_a_user_that_does_not_exist_is_refused_before_the_network_hears_of_us(
    world: World,
) -> None:
    node = world.node("a")
    _rewrite(node, security=[{"setuser": "nosuchuser"}])
    argv = [sys.executable, "-m", "dexmesh", "up", "--config", str(node.config)]
    ended = node.machine.run(argv, check=False)
    assert ended.returncode == 1
    assert "there is no user 'nosuchuser'" in ended.stderr
    assert "listening for links" not in ended.stdout + ended.stderr


def _rewrite(node: RunningNode, **changes: object) -> None:
    """Change top-level keys of a configuration."""
    argv = [sys.executable, "-m", "dexmesh.cli.cjdroute", "--cleanconf"]
    clean = node.machine.run(argv, stdin=node.config.read_text()).stdout
    node.config.write_text(json.dumps({**json.loads(clean), **changes}))
