"""Calibration: stock phones, sipp and a socket of the test call and text each other.

Nothing of ours is on trial but the nodes that carry it; what fails here is the harness.

a (linphone, sipp) ----- b (baresip)
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import pytest

from dexmesh.cli.lab import USER, Lab
from tests.netns.conftest import RunningNode, World
from tests.netns.phones import Baresip, Linphone, article_file
from tests.netns.sippers import RTP_PORT, Sipp
from tests.netns.talkers import Talker

pytestmark = [
    pytest.mark.netns,
    pytest.mark.interop,
    pytest.mark.skipif(
        bool(os.environ.get("DEXMESH_USERNS")), reason="phones are run by users: real root"
    ),
]

LEAST_S = 1.0  # of a tone, in what a phone heard for 2.5 s
A_HZ, B_HZ = 600, 850


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[RunningNode, RunningNode]]:
    """Two nodes, started."""
    if os.geteuid() != 0:
        pytest.fail("needs root or a user namespace: run `make test`, which finds a way")
    with Lab("dexmesh-test") as lab:
        world = World(lab)
        a, b = world.node("a"), world.node("b")
        world.join(a, b)
        b.start()
        a.start()
        yield a, b


def test_linphone_and_baresip_text_and_call_each_other(
    pair: tuple[RunningNode, RunningNode],
) -> None:
    a, b = pair
    friend = f"sip:{USER}@[{a.address}]"
    with Linphone(a, answers=True) as linphone, Baresip(b, contacts=[friend]) as baresip:
        linphone.send_text(baresip.uri, "how are you?")
        assert baresip.wait_text("how are you?") == linphone.uri
        baresip.send_text(linphone.uri, "schön, danke")
        assert linphone.wait_text("schön, danke") == baresip.uri
        for caller, called in ((linphone, baresip), (baresip, linphone)):
            linphone.say(A_HZ)
            baresip.say(B_HZ)
            caller.call(called.uri)
            called.expect(called.established)
            caller.expect(caller.established)
            linphone.listen()
            caller.hang_up()
            called.expect(called.ended)
            assert linphone.heard_s(B_HZ) > LEAST_S
            assert baresip.heard_s(A_HZ) > LEAST_S


def test_linphone_with_the_articles_file_offers_an_address_that_nobody_can_answer_to(
    pair: tuple[RunningNode, RunningNode],
) -> None:
    a, b = pair
    text = article_file(a.address)
    sipp = Sipp(b)
    with Linphone(a, text=text) as linphone, sipp.start("take_call") as call:
        linphone.call(sipp.uri)
        linphone.expect(linphone.established)
        assert "c=IN IP6 ::1\n" in call.trace()
        linphone.hang_up()
        call.wait()


@pytest.mark.parametrize("is_tcp", [False, True], ids=["udp", "tcp"])
def test_sipp_texts_and_talks_with_baresip(
    pair: tuple[RunningNode, RunningNode], is_tcp: bool
) -> None:
    a, b = pair
    sipp = Sipp(a, is_tcp=is_tcp, port=5099)
    with Baresip(b) as baresip, Talker(a, RTP_PORT, A_HZ) as talker:
        headers = "Content-Type: text/plain\r\n"
        sipp.play("request", baresip.uri, method="MESSAGE", headers=headers, body="from sipp")
        assert baresip.wait_text("from sipp") == sipp.uri
        nobody = baresip.uri.replace(USER, "nobody")
        sipp.play("request", nobody, method="MESSAGE", headers=headers, body="?", status=404)
        baresip.say(B_HZ)
        with sipp.start("wait_for_bye", baresip.uri) as call:
            baresip.expect(baresip.established)
            port = re.search(r"m=audio (\d+)", call.trace().partition("SIP/2.0 200")[2])
            assert port
            talker.talk_to(b.address, int(port[1]))
            baresip.listen()
            baresip.hang_up()
            call.wait()
        assert {address for address, _, _ in talker.packets} == {b.address}
        assert talker.heard_s(B_HZ) > LEAST_S
        assert baresip.heard_s(A_HZ) > LEAST_S
