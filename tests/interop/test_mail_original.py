"""Our mail node where the original cjdroute provides the mesh: kernel sockets and the admin RPC suffice.

a (original, our mail node) ----- b (original | ours, OpenSMTPD | our mail node)
"""

from __future__ import annotations

import os
import shutil
import time

import pytest

from dexmesh.cli.lab import wait_until
from tests.interop.mixed import Node, reaches, start_line
from tests.interop.original import Original, needs_original
from tests.netns.conftest import RunningNode, World
from tests.netns.mailers import (
    Mailer,
    OurMailer,
    StockMailer,
    reply_s_nail,
    send_s_nail,
    wait_for,
)

pytestmark = [
    pytest.mark.interop,
    needs_original,
    pytest.mark.skipif(
        bool(os.environ.get("DEXMESH_USERNS")), reason="mail programs need several users: real root"
    ),
    pytest.mark.skipif(shutil.which("s-nail") is None, reason="s-nail is not installed"),
]

LINK_S = 30.0
RETURN_S = 5.0  # mail.md §4: how soon after a sign of life the mail goes out
AWAY_S = 16.0  # TCP knocks after 1, 3, 7, 15 and 31 s: what comes sooner came by a sign of life
SLACK_S = 3.0  # a poll of the admin RPC, and the link between originals


def _as_running(node: Node) -> RunningNode:
    """What the mail programs want to know of a node, whoever made it."""
    if isinstance(node, RunningNode):
        return node
    return RunningNode(node.machine, node.config, node.address, node.key, node.password, node.login)


def _mail_pair(
    world: World, kinds: list[str], other: type[StockMailer] | type[OurMailer]
) -> tuple[list[Node], OurMailer, Mailer]:
    """A line of nodes that run, our mail node on the first, something on the last."""
    nodes = start_line(world, kinds)
    reaches(nodes[0], nodes[-1], LINK_S)
    a, b = OurMailer(_as_running(nodes[0])), other(_as_running(nodes[-1]))
    a.start()
    a.know(b, a.home)
    a.install_programs("node")
    b.start()
    if isinstance(b, OurMailer):
        b.know(a, b.home)
    b.install_programs("node" if isinstance(b, OurMailer) else "stock")
    return nodes, a, b


@pytest.mark.parametrize("last", ["original", "ours"])
@pytest.mark.parametrize("other", [StockMailer, OurMailer])
def test_a_mail_and_its_answer_over_the_mesh_of_the_original(
    world: World, last: str, other: type[StockMailer] | type[OurMailer]
) -> None:
    _, a, b = _mail_pair(world, ["original", last], other)
    send_s_nail(a, b, "over cjdroute", "one line\n")
    assert "one line" in str(wait_for(b, "over cjdroute").get_payload())
    reply_s_nail(b, "over cjdroute", "so be it")
    assert "so be it" in str(wait_for(a, "Re: over cjdroute").get_payload())


def test_mail_goes_out_within_seconds_after_an_original_comes_back(world: World) -> None:
    """The signs of life come from the admin RPC of the original."""
    nodes, a, b = _mail_pair(world, ["original", "original"], StockMailer)
    away = nodes[1]
    assert isinstance(away, Original)
    away.stop()
    send_s_nail(a, b, "when you are back", "hello\n")
    time.sleep(AWAY_S)
    away.start()
    reaches(nodes[0], away, 90)  # the original believes in a silent session for 60 s
    took = wait_until(lambda: bool(b.inbox()), 30, "the mail after the return")
    assert took <= RETURN_S + SLACK_S
