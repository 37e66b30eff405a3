"""Stock phones with nothing but what `dexmesh setup` prints, pasted where it belongs.

a (linphone) ---- b (baresip)      a and b are contacts, and have an Internet address beside the mesh;
     |
     c (a stranger)
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dexmesh.cli.lab import USER, Lab, wait_until
from dexmesh.wire.address import is_mesh_address, parse_address
from tests.netns.conftest import RunningNode, World
from tests.netns.phones import Baresip, Linphone, StockPhone
from tests.netns.sippers import Running, Sipp

pytestmark = [
    pytest.mark.netns,
    pytest.mark.interop,
    pytest.mark.skipif(
        bool(os.environ.get("DEXMESH_USERNS")), reason="phones are run by users: real root"
    ),
]

LEAST_S = 1.0
A_HZ, B_HZ = 600, 850
BAD_XML = "<?xml version='1.0'?><isComposing><state>active</state></isComposing>"  # no namespace


@dataclass(slots=True)
class Scene:
    """The three machines, and what was printed on a and b."""

    a: RunningNode
    b: RunningNode
    c: RunningNode
    linphonerc: str
    rules: str
    baresip: dict[str, str]


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    if os.geteuid() != 0:
        pytest.fail("needs root or a user namespace: run `make test`, which finds a way")
    with Lab("dexmesh-test") as lab:
        world = World(lab)
        a, b, c = (world.node(name) for name in "abc")
        world.join(b, a)
        world.join(c, a)
        for node in (a, b, c):
            node.begin()
        meet(a, b)
        meet(b, a)
        for node, device, number in ((a, "to-b", 1), (b, "to-a", 2)):
            node.wait_online()
            for command in (
                f"ip addr add 2001:db8::{number}/64 dev {device} nodad",
                f"ip -6 route add default via 2001:db8::{3 - number} dev {device}",
            ):
                node.machine.run(command.split())
        c.wait_online()
        files = json.loads(setup(b, "baresip", "--user", USER, "--json"))["files"]
        yield Scene(
            *(a, b, c),
            setup(a, "linphone", "--user", USER, "--name", "Stuart Å"),
            setup(a, "phone-firewall"),
            {Path(one["path"]).name: one["text"] for one in files},
        )


def home(node: RunningNode) -> str:
    return str(node.machine.folder / "apps")


def meet(here: RunningNode, there: RunningNode) -> None:
    options = ["--key", there.key, "--no-check", "--no-request", "--home", home(here)]
    mailbox = f"{USER}@[IPv6:{there.address}]"
    here.dexmesh("contact", "add", f"{USER}-of-{there.machine.name}", mailbox, *options)


def setup(node: RunningNode, *arguments: str) -> str:
    return node.dexmesh("setup", *arguments, "--home", home(node))


def test_both_call_and_text_each_other_and_name_no_address_but_those_of_the_mesh(
    scene: Scene,
) -> None:
    a, b = scene.a, scene.b
    with (
        Linphone(a, text=scene.linphonerc) as left,
        Baresip(b, codec="opus", files=scene.baresip) as right,
    ):
        assert f"address: {right.uri}\n" in left.friends()
        left.send_text(right.uri, "to b")
        assert right.wait_text("to b") == left.uri
        right.send_text(left.uri, "to a")
        assert left.wait_text("to a") == right.uri
        for caller, called in ((left, right), (right, left)):
            talk(caller, called)
            assert left.heard_s(B_HZ) > LEAST_S
            assert right.heard_s(A_HZ) > LEAST_S
        named = re.findall(r"(?m)^[co]=.*IN IP[46] (\S+)", left.trace())
        assert {parse_address(one) for one in named} == {
            parse_address(a.address),
            parse_address(b.address),
        }
        shown = a.machine.run(["ss", "-Htuln"]).stdout + b.machine.run(["ss", "-Htuln"]).stdout
        listening = re.findall(r"(\S+):(?:5060|5061|7078)\s", shown)
        assert listening
        assert all(is_mesh_address(parse_address(one.strip("[]"))) for one in listening)


def talk(caller: StockPhone, called: StockPhone) -> None:
    for phone in (caller, called):
        phone.say(A_HZ if isinstance(phone, Linphone) else B_HZ)
        phone.forget()
    caller.call(called.uri)
    called.expect(called.ringing)
    called.answer()
    called.expect(called.established)
    caller.expect(caller.established)
    called.listen()
    caller.hang_up()
    called.expect(called.ended)


def test_a_stranger_ends_linphone_by_two_messages_but_not_behind_the_rules_that_setup_prints(
    scene: Scene,
) -> None:
    a, b, c = scene.a, scene.b, scene.c
    with Linphone(a, text=scene.linphonerc) as phone:
        with attack(c, phone) as text:
            phone.wait_text("hello")
            text.wait()
        with attack(c, phone, "application/im-iscomposing+xml", BAD_XML):
            wait_until(lambda: not phone.is_running(), 10, "the end of linphone")
    a.machine.run(["nft", "-f", "-"], stdin=scene.rules)
    with (
        Linphone(a, text=scene.linphonerc) as phone,
        Baresip(b, codec="opus", files=scene.baresip) as friend,
        attack(c, phone),
        attack(c, phone, "application/im-iscomposing+xml", BAD_XML, port=5061),
    ):
        wait_until(lambda: dropped(a) > 1, 10, "drops")
        friend.send_text(phone.uri, "still there?")
        assert phone.wait_text("still there?") == friend.uri
        assert phone.texts() == [(friend.uri, "still there?")]
        assert phone.is_running()
    a.machine.run(["nft", "delete", "table", "inet", "dexmesh_phone"])


def attack(
    stranger: RunningNode,
    phone: Linphone,
    kind: str = "text/plain",
    body: str = "hello",
    port: int = 5060,
) -> Running:
    """Begin to send a message."""
    headers = f"Content-Type: {kind}\r\n"
    sipp = Sipp(stranger, "eve", port=port)
    return sipp.start("request", phone.uri, method="MESSAGE", headers=headers, body=body)


def dropped(node: RunningNode) -> int:
    """How many packets the rules have dropped."""
    rules = node.machine.run(["nft", "list", "table", "inet", "dexmesh_phone"]).stdout
    return int(re.findall(r"counter packets (\d+)", rules)[0])
