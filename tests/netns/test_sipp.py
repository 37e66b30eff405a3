"""RFC 3261 as others speak it: sipp in both roles, and messages by hand, against the phone of the service.

a (ours) ---- cable with fc00::/8 ---- b (sipp: a contact, a stranger, and a third address)
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from dexmesh.cli.lab import wait_until
from dexmesh.errors import HostError
from tests.netns.hand_phone import SDP, HandPhone, field, in_dialog, of_invite, write
from tests.netns.odd_messages import OLDER_VIA, junk, shapes
from tests.netns.sip_scene import OUR_HZ, Scene, Seated, open_scene, same_again
from tests.netns.sippers import RTP_PORT, Running, Sipp
from tests.netns.sniffers import Sniffer
from tests.netns.sockets import in_network
from tests.netns.talkers import Talker

pytestmark = [
    pytest.mark.netns,
    pytest.mark.interop,
    pytest.mark.skipif(
        bool(os.environ.get("DEXMESH_USERNS")), reason="the service gives up root: real root"
    ),
]

THEIR_HZ = 700
TALK_MS = 1200
LEAST_S = 0.7  # of a tone, in such a call
LONG = "Grüße aus Kålltorp: ✓ " * 240  # 6 kB
PUBLIC = "2001:db8::77"
RTP_PER_S = 50
JUNK = 10_000
SENT_SDP = (
    r"(?m)^o=- (\d{5,}) (\d+) .*\n(?:.*\n)*?a=(send\w+|recv\w+|inactive)$"  # ours: long numbers
)


@pytest.fixture(scope="module")
def shared() -> Iterator[Scene]:
    """Everything started: that is what takes long."""
    if os.geteuid() != 0:
        pytest.fail("needs root or a user namespace: run `make test`, which finds a way")
    with open_scene() as made:
        yield made


@pytest.fixture
def scene(shared: Scene) -> Iterator[Scene]:
    """The same for every test."""
    with same_again(shared) as again:
        yield again


@pytest.fixture
def hand(scene: Scene) -> Iterator[HandPhone]:
    """A port at the contact's address."""
    with HandPhone(scene.friend) as made:
        yield made


def our_port(answer: str) -> int:
    """Where our answer, or our offer, wants the sound."""
    found = re.search(r"m=audio (\d+)", answer)
    assert found, answer
    return int(found[1])


def answer_in(call: Running) -> str:
    """What came to sipp from its first 200 on."""
    return call.trace().partition("SIP/2.0 200")[2]


def wait_for(is_true: Callable[[], bool], limit_s: float = 10) -> None:
    """Wait for it, or fail."""
    try:
        wait_until(is_true, limit_s, "what was to come")
    except HostError as error:
        raise AssertionError(str(error)) from None


# --- Called by sipp -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scenario", "is_tcp"),
    [("call", False), ("call", True), ("late_offer", False)],
    ids=["udp", "tcp", "late offer"],
)
def test_a_call_from_sipp_has_sound_both_ways(scene: Scene, scenario: str, is_tcp: bool) -> None:
    sipp = Sipp(scene.friend, is_tcp=is_tcp)
    with Talker(scene.friend, RTP_PORT, THEIR_HZ) as talker:
        with sipp.start(scenario, scene.ours.uri, talk_ms=TALK_MS) as call:
            scene.desk.expect("established")
            talker.talk_to(scene.ours.address, our_port(answer_in(call)))
            call.wait()
        ended = scene.desk.expect("ended", reason="hung up", by="them")
    assert talker.heard_s(OUR_HZ) > LEAST_S
    assert scene.desk.heard_s(ended, THEIR_HZ) > LEAST_S


@pytest.mark.parametrize(
    ("scenario", "hold", "answered"),
    [
        ("hold", "sendonly", "recvonly"),
        ("hold", "inactive", "inactive"),
        ("update", "sendonly", "recvonly"),
    ],
)
def test_whoever_holds_hears_nothing_until_he_is_back(
    scene: Scene, scenario: str, hold: str, answered: str
) -> None:
    sipp = Sipp(scene.friend)
    with Talker(scene.friend, RTP_PORT) as talker:
        with sipp.start(scenario, scene.ours.uri, hold=hold, talk_ms=600, hold_ms=800) as call:
            scene.desk.expect("changed", held_there=True)
            held_at = len(talker.packets)
            scene.desk.expect("changed", held_there=False)
            back_at = len(talker.packets)
            trace = call.wait()
        scene.desk.expect("ended", reason="hung up")
    assert len(talker.packets[held_at:back_at]) < 5  # under way when we looked
    assert held_at > 10 < len(talker.packets) - back_at
    bodies = re.findall(SENT_SDP, trace)
    assert [(version, direction) for _, version, direction in bodies] == [
        ("1", "sendrecv"),
        ("2", answered),
        ("3", "sendrecv"),
    ]


def test_a_call_that_is_taken_back_rings_no_more(scene: Scene) -> None:
    scene.ours.switch(auto_answer=False)
    Sipp(scene.friend).play("cancel", scene.ours.uri)
    scene.desk.expect("ringing")
    scene.desk.expect("stopped", reason="cancelled")
    scene.desk.expect("missed", reason="the caller gave up")


def test_a_second_call_hears_that_we_are_busy(scene: Scene) -> None:
    with Sipp(scene.friend).start("call", scene.ours.uri, talk_ms=1500) as call:
        scene.desk.expect("established")
        Sipp(scene.friend, port=5099).play("refused", scene.ours.uri, status=486)
        call.wait()
    scene.desk.expect("missed", reason="busy")


def test_the_log_of_a_phone_alone_says_nothing_of_mail(scene: Scene) -> None:
    log = scene.service.machine.log("mail.log")
    assert "calls and texts are served" in log
    assert "mail is served" not in log


@pytest.mark.parametrize(
    ("status", "keys"),
    [
        (404, {"uri": "sip:nobody@[{own}]"}),
        (404, {"uri": "sip:stuart@[{third}]"}),
        (403, {"from": "<sip:carol@[{third}]>"}),
        (416, {"uri": "sips:stuart@[{own}]"}),
        (420, {"headers": "Require: 100rel\r\n"}),
        (488, {"profile": "RTP/SAVP"}),
        (488, {"profile": "UDP/TLS/RTP/SAVPF"}),
        (415, {"headers": "Content-Encoding: gzip\r\n"}),
    ],
    ids=lambda value: str(value) if isinstance(value, int) else next(iter(value)),
)
def test_a_call_that_cannot_be_is_refused_as_the_rfc_says(
    scene: Scene, status: int, keys: dict[str, str]
) -> None:
    where = {"own": scene.ours.address, "third": scene.third.address}
    filled = {key: value.format(**where) for key, value in keys.items()}
    to = filled.pop("uri", scene.ours.uri)
    host = scene.ours.address
    trace = Sipp(scene.friend).play("refused", to, host=host, status=status, **filled)
    if status == 420:
        assert "\nUnsupported: 100rel\n" in trace


@pytest.mark.parametrize(
    ("status", "method"),
    [(200, "OPTIONS"), (489, "SUBSCRIBE"), (489, "NOTIFY"), (501, "REFER"), (501, "FROBNICATE")],
)
def test_the_methods_that_are_served_are_listed(scene: Scene, status: int, method: str) -> None:
    trace = Sipp(scene.friend).play("request", scene.ours.uri, method=method, status=status)
    allowed = re.search(r"(?m)^Allow: (.*)$", trace)
    assert allowed
    wanted = {"INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "MESSAGE", "UPDATE", "INFO"}
    assert set(allowed[1].split(", ")) == wanted


@pytest.mark.parametrize("method", ["INVITE", "BYE", "INFO", "UPDATE", "OPTIONS", "CANCEL"])
def test_a_dialog_that_is_unknown_is_answered_481(scene: Scene, method: str) -> None:
    scenario, keys = ("refused", {}) if method == "INVITE" else ("request", {"method": method})
    keys["to"] = f"<{scene.ours.uri}>" + (";tag=nobody" if method != "CANCEL" else "")
    Sipp(scene.friend).play(scenario, scene.ours.uri, status=481, **keys)


# --- Texts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_tcp", [False, True], ids=["udp", "tcp"])
def test_a_text_of_6_kb_arrives_whole(scene: Scene, is_tcp: bool) -> None:
    text = f"{'tcp' if is_tcp else 'udp'} {LONG}".strip()
    sipp = Sipp(scene.friend, is_tcp=is_tcp)
    headers = "Content-Type: text/plain;charset=UTF-8\r\n"
    sipp.play("request", scene.ours.uri, method="MESSAGE", headers=headers, body=text)
    found = [one for one in scene.ours.history("text") if one["text"] == text]
    assert [(one["petname"], one["is_request"]) for one in found] == [("carol", False)]
    scene.desk.expect("text", text=text)


def test_our_long_text_goes_by_tcp_and_by_udp_where_nobody_takes_tcp(scene: Scene) -> None:
    for is_tcp in (True, False):
        sipp = Sipp(scene.friend, is_tcp=is_tcp)
        with sipp.start("take_text") as taken:
            sent = scene.ours.ask("text.send", to=sipp.uri, text=LONG, wait_s=20)
            assert sent["state"] == "delivered", sent
            trace = taken.wait()
        assert f"\n{LONG}" in trace
        assert f"\nVia: SIP/2.0/{'TCP' if is_tcp else 'UDP'} [" in trace


# --- Calling sipp -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_tcp", [False, True], ids=["udp", "tcp"])
def test_our_call_to_sipp_has_sound_both_ways(scene: Scene, is_tcp: bool) -> None:
    sipp = Sipp(scene.friend, is_tcp=is_tcp)
    uri = sipp.uri + (";transport=tcp" if is_tcp else "")
    with Talker(scene.friend, RTP_PORT, THEIR_HZ) as talker, sipp.start("take_call") as call:
        with scene.ours.call(uri, "--seconds", f"{TALK_MS / 1000}", "--codec", "PCMU") as program:
            program.expect("progress", is_ringing=True)
            program.expect("established")
            talker.talk_to(scene.ours.address, our_port(call.trace()))
            ended = program.expect("ended", reason="hung up", by="us")
            assert program.wait() == 0
        call.wait()
    assert talker.heard_s(OUR_HZ) > LEAST_S
    assert program.heard_s(ended, THEIR_HZ) > LEAST_S


@pytest.mark.parametrize("status", [302, 404, 407, 480, 486, 488, 503, 603])
def test_our_call_that_is_refused_ends_with_the_reason(scene: Scene, status: int) -> None:
    reasons = {
        404: "no such user",
        480: "not available",
        486: "busy",
        488: "no common codec",
        503: "too busy, try later",
        603: "declined",
    }
    sipp = Sipp(scene.friend)
    with sipp.start("refuse_call", status=status) as call, Seated(scene.ours, sipp.uri) as ours:
        ended = ours.expect("ended")
        call.wait()
    assert (ended["reason"], ended["by"]) == (reasons.get(status, "refused"), "them")
    assert ended["status"] == status


def test_our_hold_and_resume_are_re_invites_that_sipp_agrees_to(scene: Scene) -> None:
    sipp = Sipp(scene.friend)
    with sipp.start("held", ring_ms=0) as call, Seated(scene.ours, sipp.uri) as ours:
        ours.expect("established")
        for is_on, acknowledged in ((True, "\nCSeq: 2 ACK\n"), (False, "\nCSeq: 3 ACK\n")):
            scene.ours.ask("call.hold", call=ours.call, on=is_on)
            wait_for(lambda: acknowledged in call.trace())  # noqa: B023 called at once
        scene.ours.ask("call.hangup", call=ours.call)
        trace = call.wait()
    offers = re.findall(SENT_SDP, trace)
    assert [one[1:] for one in offers] == [("1", "sendrecv"), ("2", "sendonly"), ("3", "sendrecv")]
    assert len({one[0] for one in offers}) == 1


def test_sipp_hangs_up_our_call(scene: Scene) -> None:
    sipp = Sipp(scene.friend, is_tcp=True)
    to = f"{sipp.uri};transport=tcp"
    with sipp.start("hang_up", talk_ms=200) as call, Seated(scene.ours, to) as ours:
        ended = ours.expect("ended")
        call.wait()
    assert (ended["reason"], ended["by"]) == ("hung up", "them")


def test_a_change_that_crossed_one_of_theirs_is_tried_again(scene: Scene) -> None:
    sipp = Sipp(scene.friend)
    with sipp.start("crossed") as call, Seated(scene.ours, sipp.uri) as ours:
        ours.expect("established")
        began = time.monotonic()
        scene.ours.ask("call.hold", call=ours.call, on=True)
        wait_for(lambda: call.trace().count("\na=recvonly\n") > 0)
        assert time.monotonic() - began >= 2.1  # RFC 3261 §14.1, of whoever made the call
        scene.ours.ask("call.hangup", call=ours.call)
        trace = call.wait()
    assert [f"\nCSeq: {number} INVITE\n" in trace for number in (2, 3, 4)] == [True, True, False]


def test_our_cancel_waits_for_the_first_answer(scene: Scene) -> None:
    sipp = Sipp(scene.friend)
    with sipp.start("cancelled", ring_ms=700) as call, Seated(scene.ours, sipp.uri) as ours:
        scene.ours.ask("call.hangup", call=ours.call)
        assert ours.expect("ended")["reason"] == "hung up"
        trace = call.wait()
    assert trace.index("SIP/2.0 180 ") < trace.index("\nCANCEL sip:")


# --- By hand: what sipp is too polite for -------------------------------------------------------------------


def test_a_repeated_invite_gets_the_same_answer_and_rings_once(
    scene: Scene, hand: HandPhone
) -> None:
    scene.ours.switch(auto_answer=False)
    uri = scene.ours.uri
    invite = hand.request("INVITE", uri, hand.sdp(), **SDP)
    answers = []
    for _ in range(3):
        hand.send(invite, uri)
        answers.append(hand.wait_status(180))
    assert len(set(answers)) == 1
    assert len(scene.ours.calls()) == 1
    hand.take_back(invite, uri)
    scene.desk.expect("stopped")
    assert [one["event"] for one in scene.desk.news()].count("ringing") == 1


def test_a_call_may_be_taken_back_before_anything_was_heard_of_it(
    scene: Scene, hand: HandPhone
) -> None:
    scene.ours.switch(auto_answer=False)
    uri = scene.ours.uri
    invite = hand.request("INVITE", uri, hand.sdp(), **SDP)
    hand.send(invite, uri)
    hand.take_back(invite, uri)
    scene.desk.expect("stopped", reason="cancelled")
    again = hand.ask(of_invite(invite, "CANCEL", uri), uri)
    assert again.startswith("SIP/2.0 200 ")


def test_a_2xx_is_repeated_until_its_ack(scene: Scene, hand: HandPhone) -> None:
    uri = scene.ours.uri
    invite = hand.request("INVITE", uri, hand.sdp(), **SDP)
    hand.send(invite, uri)
    first = hand.wait_status(200)
    began = time.monotonic()
    assert [hand.wait_status(200) for _ in range(2)] == [first, first]
    assert time.monotonic() - began >= 1.4  # after 0.5 s and 1 s more
    hand.send(in_dialog(invite, first, "ACK", 1, uri), uri)
    assert hand.receive(2.5) is None  # the next would have come after 2 s
    assert "200" in hand.ask(in_dialog(invite, first, "BYE", 2, uri), uri)
    again = hand.ask(in_dialog(invite, first, "BYE", 3, uri), uri)
    assert again.startswith("SIP/2.0 481 ")


def test_a_number_that_goes_back_is_out_of_turn(scene: Scene, hand: HandPhone) -> None:
    uri = scene.ours.uri
    invite = hand.request("INVITE", uri, hand.sdp(), **{**SDP, "CSeq": "7 INVITE"})
    hand.send(invite, uri)
    answer = hand.wait_status(200)
    hand.send(in_dialog(invite, answer, "ACK", 7, uri), uri)
    assert hand.ask(in_dialog(invite, answer, "OPTIONS", 6, uri), uri).startswith("SIP/2.0 500 ")
    assert hand.ask(in_dialog(invite, answer, "BYE", 9, uri), uri).startswith("SIP/2.0 200 ")


def test_the_same_invite_on_two_ways_is_one_call(scene: Scene, hand: HandPhone) -> None:
    scene.ours.switch(auto_answer=False)
    uri = scene.ours.uri
    fields = {**hand.fields("INVITE", uri), "Content-Type": "application/sdp"}
    first = write(f"INVITE {uri} SIP/2.0", fields, hand.sdp())
    hand.send(first, uri)
    hand.wait_status(180)
    other = {**fields, "Via": f"{fields['Via']}-other"}
    merged = hand.ask(write(f"INVITE {uri} SIP/2.0", other, hand.sdp()), uri)
    assert merged.startswith("SIP/2.0 482 ")
    hand.take_back(first, uri)


def test_our_invite_is_repeated_and_our_ack_for_every_2xx(scene: Scene, hand: HandPhone) -> None:
    with Seated(scene.ours, hand.uri) as ours:
        first = hand.wait(lambda text: text.startswith("INVITE "))
        assert hand.receive(2) == first
        names = ("Via", "From", "Call-ID", "CSeq")
        fields = {name: field(first, name) for name in names}
        more = {"To": f"{field(first, 'To')};tag=t1", "Contact": f"<{hand.uri}>"}
        fields |= {**more, "Content-Type": "application/sdp"}
        answer = write("SIP/2.0 200 OK", fields, hand.sdp("RTP/AVP 0"))
        hand.send(answer, scene.ours.uri)
        is_ack = lambda text: text.startswith("ACK ")  # noqa: E731
        ack = hand.wait(is_ack)
        ours.expect("established")
        hand.send(answer, scene.ours.uri)
        assert hand.wait(is_ack) == ack
        assert ack.startswith(f"ACK {hand.uri} SIP/2.0\r\n")
        forked = write(
            "SIP/2.0 200 OK", {**fields, "To": f"{field(first, 'To')};tag=t2"}, hand.sdp()
        )
        hand.send(forked, scene.ours.uri)  # a second phone that answered: acknowledged and hung up
        assert field(hand.wait(is_ack), "To").endswith("tag=t2")
        bye = hand.wait(lambda text: text.startswith("BYE "))
        assert field(bye, "To").endswith("tag=t2")
        assert len(scene.ours.calls()) == 1


def test_the_answer_goes_to_where_the_request_came_from(scene: Scene, hand: HandPhone) -> None:
    via = f"SIP/2.0/UDP [{scene.third.address}]:5060;branch=z9hG4bK{hand.port}"
    for more in (";rport", ""):
        answer = hand.ask(
            hand.request("OPTIONS", scene.ours.uri, Via=f"{via}{more}x{more}"), scene.ours.uri
        )
        assert answer.startswith("SIP/2.0 200 ")
        shown = field(answer, "Via")
        assert f";rport={hand.port}" in shown
        assert f";received={hand.address}" in shown


def test_every_shape_of_header_is_understood(scene: Scene, hand: HandPhone) -> None:
    for name, message in shapes(hand, scene.ours.uri).items():
        time.sleep(0.1)  # ten a second
        answer = hand.ask(message, scene.ours.uri)
        assert answer.startswith("SIP/2.0 200 "), (name, answer)
        if "two Via" in name:  # both come back, the latest with where it really came from
            latest, older = re.split(r",\s*|\r\nVia: ", vias_of(answer))
            assert f";received={hand.address};rport={hand.port}" in latest
            assert older == OLDER_VIA


def vias_of(message: str) -> str:
    """The values of all Via fields, as they stand there."""
    found = re.search(r"(?m)^Via: ((?:.*\r\n)(?:Via: .*\r\n)*)", message)
    assert found, message
    return found[1].rstrip()


def test_a_text_that_comes_twice_in_whatever_wrapping_is_kept_once(
    scene: Scene, hand: HandPhone
) -> None:
    uri = scene.ours.uri
    fields = {**hand.fields("MESSAGE", uri), "Content-Type": "text/plain;charset=UTF-8"}
    for branch in ("", "", "-again"):
        wrapped = {**fields, "Via": fields["Via"] + branch}
        assert hand.ask(write(f"MESSAGE {uri} SIP/2.0", wrapped, "once, please"), uri).startswith(
            "SIP/2.0 200 "
        )
    texts = [one["text"] for one in scene.ours.history("text")]
    assert texts.count("once, please") == 1


# --- Where sound goes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["loopback", "public", "third"])
def test_sound_goes_to_whoever_called_whatever_c_says(
    scene: Scene, hand: HandPhone, kind: str
) -> None:
    uri = scene.ours.uri
    told = {"loopback": "::1", "public": PUBLIC, "third": scene.third.address}[kind]
    with (
        Sniffer(scene.service.machine) as sniffer,
        Talker(scene.friend, RTP_PORT, THEIR_HZ) as talker,
        Talker(scene.third, RTP_PORT, 1100) as other,
    ):
        invite = hand.request("INVITE", uri, hand.sdp(connection=f"IN IP6 {told}"), **SDP)
        hand.send(invite, uri)
        answer = hand.wait_status(200)
        hand.send(in_dialog(invite, answer, "ACK", 1, uri), uri)
        for one in (talker, other):  # only the caller is heard
            one.talk_to(scene.ours.address, our_port(answer))
        wait_for(lambda: talker.heard_s(OUR_HZ) > LEAST_S)
        hand.ask(in_dialog(invite, answer, "BYE", 2, uri), uri)
        ended = scene.desk.expect("ended")
    assert sniffer.destinations(scene.ours.address, RTP_PORT, RTP_PORT + 1) == {
        scene.friend.address
    }
    assert not other.packets
    assert scene.desk.heard_s(ended, THEIR_HZ) > LEAST_S / 2
    assert scene.desk.heard_s(ended, 1100) == 0
    assert ended["statistics"]["strangers"] > 10
    assert f"\r\nc=IN IP6 {scene.ours.address}\r\n" in answer


# --- Those who mean harm ------------------------------------------------------------------------------------


def test_a_call_goes_on_under_ten_thousand_datagrams_of_junk(scene: Scene) -> None:
    uri = scene.ours.uri
    before = scene.ours.ask("phone.status")["counters"]
    with (
        Talker(scene.friend, RTP_PORT, THEIR_HZ) as talker,
        HandPhone(scene.friend, user="mallory") as friend,
        HandPhone(scene.stranger, user="mallory") as stranger,
        Sipp(scene.friend).start("wait_for_bye", uri) as call,
    ):
        established = scene.desk.expect("established")
        port = our_port(answer_in(call))
        talker.talk_to(scene.ours.address, port)
        began, heard = time.monotonic(), len(talker.packets)
        for number, data in enumerate(junk(JUNK, uri, friend)):
            (friend if number % 2 else stranger).send(data, uri)
            if number % 10 == 0:
                friend.send(data, f"{uri}:{port}")  # the address of the call, from another port
                time.sleep(0.002)
        took_s = time.monotonic() - began
        assert len(talker.packets) - heard > 0.8 * RTP_PER_S * took_s
        scene.ours.ask("call.hangup", call=established["call"])
        call.wait()
        ended = scene.desk.expect("ended", reason="hung up", by="us")
    assert scene.desk.heard_s(ended, THEIR_HZ) > 0.8 * took_s
    counts = scene.ours.ask("phone.status")["counters"]
    assert (
        sum(counts.values()) - sum(before.values()) > 0.2 * JUNK
    )  # the rest were too fast to be read
    assert sum(ended["statistics"]["drops"].values()) > 0.05 * JUNK
    Sipp(scene.stranger, port=5099).play("request", uri, method="OPTIONS")


def test_half_a_message_over_tcp_and_too_many_connections_block_nobody(scene: Scene) -> None:
    where = (scene.ours.address, 5060)
    source = (scene.stranger.address, 0)

    def connect() -> socket.socket:
        return socket.create_connection(where, 5, source_address=source)

    with contextlib.ExitStack() as opened:
        for data in (
            b"INVITE sip:x SIP/2.0\r\nContent-Length: 99999999\r\n\r\n",
            b"\0" * 70_000,
            b"INVI",
        ):
            one = opened.enter_context(in_network(scene.friend.machine, connect))
            with contextlib.suppress(ConnectionError):
                one.sendall(data)
        for _ in range(30):
            opened.enter_context(in_network(scene.friend.machine, connect))
        Sipp(scene.friend, is_tcp=True).play("request", scene.ours.uri, method="OPTIONS")


def test_a_flood_of_a_strangers_calls_is_told_503_and_a_contact_gets_through(scene: Scene) -> None:
    uri, is_over = scene.ours.uri, threading.Event()
    counted: dict[str, int] = {}
    with HandPhone(scene.stranger, user="mallory") as stranger:

        def flood() -> None:
            while not is_over.is_set():
                for _ in range(10):
                    stranger.send(stranger.request("INVITE", uri, stranger.sdp(), **SDP), uri)
                for text in stranger.drain():
                    status = text[8:11]
                    counted[status] = counted.get(status, 0) + 1
                    if status == "503":
                        assert int(field(text, "Retry-After")) >= 1
                time.sleep(0.01)

        flooding = threading.Thread(target=flood)
        flooding.start()
        try:
            wait_for(lambda: counted.get("503", 0) > 5)
            Sipp(scene.friend).play("call", uri, talk_ms=500)
        finally:
            is_over.set()
            flooding.join()
    scene.desk.expect("established")
    scene.desk.expect("ended", reason="hung up")
    assert counted.keys() <= {"480", "503"}
    missed = [one for one in scene.ours.history("call") if one["address"] == scene.stranger.address]
    assert 0 < len(missed) <= 10


def test_one_address_has_three_calls_that_ring_at_most(scene: Scene, hand: HandPhone) -> None:
    scene.ours.switch(auto_answer=False)
    uri = scene.ours.uri
    invites = [hand.request("INVITE", uri, hand.sdp(), **SDP) for _ in range(4)]
    for invite in invites[:3]:
        hand.send(invite, uri)
        hand.wait_status(180)
    refused = hand.ask(invites[3], uri)
    assert refused.startswith("SIP/2.0 503 ")
    assert int(field(refused, "Retry-After")) >= 1
    for invite in invites[:3]:
        hand.take_back(invite, uri)
