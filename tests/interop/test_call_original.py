"""Our phone where the original cjdroute provides the mesh: kernel sockets and the admin RPC suffice.

a (original, our phone) ----- r (original) ----- b (original | ours, our phone | linphone)
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from dexmesh.cli.lab import USER
from tests.interop.mixed import Node, reaches, start_line
from tests.interop.original import needs_original
from tests.netns.conftest import World
from tests.netns.mail_machines import MailMachine
from tests.netns.phone_machines import PhoneMachine
from tests.netns.phones import Linphone
from tests.netns.stock_calls import (
    LEAST_S,
    OUR_HZ,
    PETNAME,
    STOCK_HZ,
    call_each_other,
    text_each_other,
)

pytestmark = [
    pytest.mark.interop,
    needs_original,
    pytest.mark.skipif(
        bool(os.environ.get("DEXMESH_USERNS")), reason="the service gives up root: real root"
    ),
]

LINK_S = 60.0
TEXT = "über cjdroute: " + "grüße " * 1000  # by TCP


def as_machine(node: Node) -> MailMachine:
    """What our phone wants to know of a node, whoever made it."""
    home = Path(f"/home/{USER}/mesh")
    return MailMachine(node.machine, node.config, node.key, node.address, home)


@pytest.mark.parametrize("last", ["original", "ours"])
def test_texts_and_a_call_between_two_of_our_phones(world: World, last: str) -> None:
    nodes = start_line(world, ["original", "original", last])
    reaches(nodes[0], nodes[-1], LINK_S)
    a, b = PhoneMachine(as_machine(nodes[0]), OUR_HZ), PhoneMachine(as_machine(nodes[-1]), STOCK_HZ)
    for here, there, name in ((a, b, "bob"), (b, a, "ann")):
        here.switch_on()
        here.know(name, there.address)
        here.serve()
    assert a.send_text("bob", TEXT)["state"] == "delivered"
    assert b.wait_text(TEXT)["petname"] == "ann"
    with b.sit_down("--auto-answer") as desk:
        with a.call("bob", "--seconds", "3") as caller:
            made = caller.expect("ended", by="us")
        taken = desk.expect("ended", by="them")
    assert caller.heard_s(made, STOCK_HZ) > LEAST_S
    assert desk.heard_s(taken, OUR_HZ) > LEAST_S


@pytest.mark.skipif(shutil.which("linphonec") is None, reason="linphone is not installed")
def test_texts_and_calls_with_linphone(world: World) -> None:
    nodes = start_line(world, ["original", "original", "original"])
    reaches(nodes[0], nodes[-1], LINK_S)
    ours = PhoneMachine(as_machine(nodes[0]), OUR_HZ)
    ours.switch_on()
    ours.know(PETNAME, nodes[-1].address)
    ours.serve()
    with Linphone(nodes[-1], answers=True) as linphone:
        text_each_other(ours, linphone)
        call_each_other(ours, linphone, "opus")
