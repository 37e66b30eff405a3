"""Our phone with our phone: texts, voicemail, calls by the dozen, and what is killed in the middle.

a (stuart, calls) ---- cable with fc00::/8 ---- b (stuart, mail and voicemail) and a stranger beside him
"""

from __future__ import annotations

import email
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dexmesh.apps.call.service import LOOK_S
from dexmesh.cli.lab import Lab, wait_until
from tests.netns.mail_machines import mail_machines
from tests.netns.our_phone import DEXMESH, OurProgram
from tests.netns.phone_machines import PhoneMachine
from tests.netns.sip_scene import Place, Seated
from tests.netns.sippers import Sipp
from tests.netns.terminal import Terminal
from tests.netns.tones import recorded_tone_s, write_tone

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(
        bool(os.environ.get("DEXMESH_USERNS")), reason="the service gives up root: real root"
    ),
]

A_HZ, B_HZ, SECOND_HZ, GREETING_HZ = 850, 600, 1100, 1400
LEAST_S = 1.0
LIMIT_S = 30.0
SOON_S = 10.0  # silence alone ends a call after 20 s
LONG = "6 kB:" + " grüße€" * 550
REPOSITORY = Path(__file__).parents[2]


@dataclass(slots=True)
class Two:
    """Both phones; a calls bob, b knows ann. Voicemail is on at b alone."""

    a: PhoneMachine
    b: PhoneMachine
    stranger: Place
    service_of_a: subprocess.Popen[bytes]
    service_of_b: subprocess.Popen[bytes]


@pytest.fixture(scope="module")
def two() -> Iterator[Two]:
    if os.geteuid() != 0:
        pytest.fail("needs root or a user namespace: run `make test`, which finds a way")
    with Lab("dexmesh-test") as lab:
        left, right = mail_machines(lab)
        a, b = PhoneMachine(left, A_HZ), PhoneMachine(right, B_HZ)
        right.switch_on()
        a.switch_on()
        b.switch_on(has_voicemail=True)
        a.know("bob", b.address)
        b.know("ann", a.address)
        stranger = Place(b.machine, b.address.rpartition(":")[0] + ":1")
        b.machine.run(["ip", "addr", "add", f"{stranger.address}/8", "dev", "to-a", "nodad"])
        yield Two(a, b, stranger, a.serve(), b.serve())


# --- Texts --------------------------------------------------------------------------------------------------


def test_texts_for_an_absent_phone_wait_and_arrive_once_when_it_is_back(two: Two) -> None:
    _stop(two.b, two.service_of_b)
    began = time.monotonic()
    gone = json.loads(two.a.at.dexmesh("phone", "look", "bob", *_as(two.a), check=False))
    assert not gone["is_there"]
    assert time.monotonic() - began < LOOK_S + SOON_S
    for text in ("are you there?", LONG):
        assert two.a.send_text("bob", text, wait_s=5)["state"] == "waiting"
    assert len(two.a.ask("text.waiting")["waiting"]) == 2
    two.service_of_b = two.b.serve()
    there = json.loads(two.b.at.dexmesh("phone", "look", "ann", *_as(two.b)))
    assert (there["is_there"], there["takes_calls"], there["takes_texts"]) == (True, True, True)
    assert two.b.send_text("ann", "back again")["state"] == "delivered"  # a sign of life
    two.b.wait_text(LONG)
    wait_until(lambda: not two.a.ask("text.waiting")["waiting"], LIMIT_S, "an empty queue")
    came = [one["text"] for one in two.b.history("text") if not one["is_outgoing"]]
    assert came == ["are you there?", LONG]
    sent = [one["state"] for one in two.a.history("text") if one["is_outgoing"]]
    assert sent == ["delivered", "delivered"]


def test_a_text_that_waits_is_in_the_queue_beside_mail_and_may_be_tried_taken_back_or_mailed(
    two: Two,
) -> None:
    _stop(two.b, two.service_of_b)
    words = ("no, not that", "dear B", "come soon")
    for text in words:
        assert two.a.send_text("bob", text, wait_s=5)["state"] == "waiting"
    _stop(two.a, two.service_of_a)
    two.service_of_a = two.a.serve()
    waiting = two.a.ask("text.waiting")["waiting"]
    rows = _rows(two.a)
    assert [one["text"] for one in waiting] == [one["text"] for one in rows] == list(words)
    cancelled, mailed, tried = [one["id"] for one in waiting]
    assert [one["id"] for one in rows] == [cancelled, mailed, tried]
    assert all(one["tries"] and one["reason"] for one in rows)
    assert "1 text will not be sent" in two.a.at.dexmesh("mail", "cancel", cancelled)
    assert "as a mail" in two.a.at.dexmesh("texts", "--as-mail", mailed)
    assert "1 text for 1 node" in two.a.at.dexmesh("mail", "retry", tried)
    assert [one["kind"] for one in _rows(two.a)] == ["text", "mail"]
    two.service_of_b = two.b.serve()
    two.a.at.dexmesh("mail", "retry", "all")
    two.b.wait_text("come soon", LIMIT_S)
    box = Path(f"/proc/{two.b.machine.pid}/root{two.b.at.maildir}/new")
    wait_until(lambda: any(box.glob("*")), LIMIT_S, "the mail")
    (mail,) = box.glob("*")
    assert "dear B" in mail.read_text()
    mail.unlink()
    wait_until(lambda: not _rows(two.a), LIMIT_S, "an empty queue")
    entries = [one for one in two.a.history("text") if one["text"] in words]
    assert [one["state"] for one in entries] == ["taken back", "sent as mail", "delivered"]
    came = [one["text"] for one in two.b.history("text")]
    assert "come soon" in came
    assert not set(came) & set(words[:2])


def _as(phone: PhoneMachine) -> tuple[str, ...]:
    return ("--json", "--user", phone.user)


def _rows(phone: PhoneMachine) -> list[dict[str, Any]]:
    """What waits, as `dexmesh mail queue` tells it."""
    told = json.loads(phone.at.dexmesh("mail", "queue", "--json", "--user", phone.user))
    rows: list[dict[str, Any]] = told["waiting"]
    return rows


def _stop(phone: PhoneMachine, service: subprocess.Popen[bytes]) -> None:
    os.killpg(service.pid, signal.SIGTERM)
    wait_until(lambda: phone.at.worker() is None, LIMIT_S, "the end of the service")
    service.wait(LIMIT_S)


# --- Who hears what -----------------------------------------------------------------------------------------


def test_auto_answer_is_a_switch_and_a_tone_goes_both_ways(two: Two) -> None:
    two.a.switch(auto_answer=True)
    with two.a.sit_down() as desk:
        with two.b.call("ann", "--seconds", "2.5") as caller:
            desk.expect("established")
            established = time.time()
            ended_there = caller.expect("ended", LIMIT_S, by="us")
            assert caller.wait() == 0
        ended_here = desk.expect("ended", by="them")
    two.a.switch(auto_answer=False)
    assert desk.heard_s(ended_here, B_HZ) > LEAST_S
    assert caller.heard_s(ended_there, A_HZ) > LEAST_S
    entry = two.a.history("call")[-1]
    assert entry["at_unix"] < established  # not when it was over
    assert entry["talked_s"] > LEAST_S
    figures = ended_there["statistics"]
    assert figures["codec"] == "opus"
    assert figures["mos"] > 3.5


def test_callers_hear_why_it_does_not_ring_and_the_called_see_who_it_was(two: Two) -> None:
    with two.a.sit_down("--codec", "opus", "--auto-answer") as desk:
        for to, reason in (
            (two.a.uri, "no common codec"),
            (f"nobody@[{two.a.address}]", "no such user"),
        ):
            with Seated(two.b, to) as caller:
                assert caller.expect("ended")["reason"] == reason
        two.a.switch(do_not_disturb=True)
        with Seated(two.b, "ann") as caller:
            assert caller.expect("ended")["reason"] == "not available"
        two.a.switch(do_not_disturb=False)
        Sipp(two.stranger).play("refused", two.a.uri, status=480)
        rung = [one["caller"]["petname"] for one in desk.events() if one["event"] == "ringing"]
    assert rung == ["bob"]  # for the codec nobody had: the seat says what it has when it answers
    entries = two.a.history("call")[-3:]
    assert [(one["petname"], one["reason"]) for one in entries] == [
        ("bob", "no common codec"),
        ("bob", "do not disturb"),
        ("", "a stranger; it did not ring"),
    ]


def test_nobody_at_a_node_and_no_node_at_all_end_a_call_by_themselves(two: Two) -> None:
    nobody = two.stranger.address  # the machine is there and has no phone at this address
    nowhere = nobody.removesuffix(":1") + ":2"
    for address in (nobody, nowhere):
        with Seated(two.a, f"sip:x@[{address}]") as caller:
            assert caller.expect("ended")["reason"] == "not reachable"


def test_what_nobody_answers_is_recorded_and_comes_as_a_mail(two: Two) -> None:
    two.b.switch(do_not_disturb=True)
    with two.a.call("bob") as caller:
        caller.expect("established")
        caller.expect("statistics")
        two.b.switch(do_not_disturb=False)
        with Seated(two.a, "bob") as second:  # nobody is busy with what the machine takes
            second.expect("progress")
            calls = two.b.calls()
            assert [(one["state"], one["is_voicemail"]) for one in calls] == [
                ("in a call", True),
                ("ringing", False),
            ]
        for _ in range(3):
            caller.expect("statistics")
        os.kill(caller.pid, signal.SIGINT)
        caller.expect("ended", by="us")
    box = Path(f"/proc/{two.b.machine.pid}/root{two.b.at.maildir}")
    wait_until(lambda: any(box.glob("new/*")), LIMIT_S, "the mail")
    mail = email.message_from_bytes(next(box.glob("new/*")).read_bytes())
    (attached,) = [part for part in mail.walk() if part.get_content_type() == "audio/x-wav"]
    sound = two.b.machine.folder / "voicemail.wav"
    payload = attached.get_payload(decode=True)
    assert isinstance(payload, bytes)
    sound.write_bytes(payload)
    assert recorded_tone_s(sound, A_HZ) > LEAST_S
    assert "ann called on" in str(mail.get_payload(0))
    (entry,) = [one for one in two.b.history("call") if one["state"] == "voicemail"]
    assert (entry["petname"], bool(entry["mail"])) == ("ann", True)


def test_who_cannot_be_recorded_because_the_disk_is_full_is_not_answered(two: Two) -> None:
    folder = str(two.b.home / "phone" / "voicemail")
    two.b.switch(do_not_disturb=True)
    two.b.machine.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=1777", "tmpfs", folder])
    try:
        with Seated(two.a, "bob") as caller:
            ended = caller.expect("ended")
    finally:
        two.b.machine.run(["umount", folder])
        two.b.switch(do_not_disturb=False)
    assert (ended["reason"], ended["status"]) == ("not available", 480)
    last = two.b.history("call")[-1]
    assert (last["state"], last["reason"]) == ("missed", "do not disturb")


def test_the_greeting_in_the_settings_is_what_the_caller_hears(two: Two) -> None:
    greeting = two.b.machine.folder / "greeting.wav"
    write_tone(greeting, GREETING_HZ, 3)
    there = f"/home/{two.b.user}/greeting.wav"
    two.b.machine.run(["install", "-m", "644", str(greeting), there])
    edit = f's|^voicemail = true.*|&\\ngreeting = "{there}"|'
    two.b.machine.run(["sed", "-i", edit, str(two.b.home / "apps.toml")])
    _stop(two.b, two.service_of_b)
    two.service_of_b = two.b.serve()
    two.b.switch(do_not_disturb=True)
    with two.a.call("bob") as caller:
        caller.expect("established")
        for _ in range(4):
            caller.expect("statistics")
        os.kill(caller.pid, signal.SIGINT)
        ended = caller.expect("ended", by="us")
    two.b.switch(do_not_disturb=False)
    assert caller.heard_s(ended, GREETING_HZ) > LEAST_S


def test_a_second_call_is_taken_while_the_first_is_on_hold_and_they_change_places(
    two: Two,
) -> None:
    two.b.switch(call_waiting=True)
    with two.a.call("bob") as first:
        _wait_ringing(two.b)
        with two.b.run("answer") as one:
            one.expect("established")
            with two.a.run("call", "bob", sound=_second_sound(two.a)) as second:
                _wait_ringing(two.b)
                with two.b.run("answer", "--hold") as other:
                    number = other.expect("established")["call"]
                    one.expect("changed", held_here=True)
                    first.expect("changed", held_there=True)
                    _talk(other)
                    two.b.at.dexmesh("hold", "--swap", "--user", two.b.user)
                    second.expect("changed", held_there=True)
                    one.expect("changed", held_here=False)
                    first.expect("changed", held_there=False)
                    _talk(one)
                    two.b.ask("call.hangup", call=number)
                    ended = other.expect("ended"), second.expect("ended", by="them")
            two.b.ask("call.hangup")
            heard_first = one.expect("ended")
            first_heard = first.expect("ended", by="them")
    two.b.switch(call_waiting=False)
    assert other.heard_s(ended[0], SECOND_HZ) > LEAST_S
    assert second.heard_s(ended[1], B_HZ) > LEAST_S
    assert one.heard_s(heard_first, A_HZ) > LEAST_S
    assert first.heard_s(first_heard, B_HZ) > LEAST_S
    assert one.heard_s(heard_first, SECOND_HZ) == 0


def test_keys_of_the_phone_call_take_a_second_call_and_go_from_one_to_the_other(two: Two) -> None:
    two.b.switch(call_waiting=True)
    ends = ("--play", str(two.b.tone), "--record", str(two.b.heard))
    argv = [*DEXMESH, "phone", *ends, "--home", str(two.b.home), "--user", two.b.user]
    with Terminal(two.b.machine.command(argv)) as desk:
        desk.expect("when it rings: a answers", LIMIT_S)
        with two.a.sit_down("--auto-answer") as called:
            desk.type("cann\r")
            called.expect("established")
            desk.expect("codec opus", LIMIT_S)
            desk.type("q")
            called.expect("ended", by="them")
            desk.expect("you hung up", LIMIT_S)
        with two.a.call("bob") as first:
            desk.expect("ann is calling", LIMIT_S)
            desk.type("a")
            first.expect("established")
            with two.a.run("call", "bob", sound=_second_sound(two.a)) as second:
                desk.expect("is calling, too: a hangs up here and answers, s holds", LIMIT_S)
                desk.type("s")
                second.expect("established")
                first.expect("changed", held_there=True)
                _watch(desk)
                desk.type("s")
                second.expect("changed", held_there=True)
                first.expect("changed", held_there=False)
                desk.expect(r"on hold: ann \(s goes over\)", LIMIT_S)
                _watch(desk)
                desk.type("q")
                first_heard = first.expect("ended", by="them")
                desk.expect("ann is still on hold: h goes on", LIMIT_S)
                desk.type("h")
                second.expect("changed", held_there=False)
                desk.type("q")
                second_heard = second.expect("ended", by="them")
    two.b.switch(call_waiting=False)
    assert first.heard_s(first_heard, B_HZ) > LEAST_S
    assert second.heard_s(second_heard, B_HZ) > LEAST_S


def _wait_ringing(phone: PhoneMachine) -> None:
    def rings() -> bool:
        return any(one["state"] == "ringing" for one in phone.calls())

    wait_until(rings, LIMIT_S, "a call that rings")


def _talk(seat: OurProgram) -> None:
    """For a while."""
    for _ in range(3):
        seat.expect("statistics")


def _watch(desk: Terminal) -> None:
    """For as long, as somebody does who looks at the picture."""
    for _ in range(15):
        desk.expect("codec opus", LIMIT_S)


def _second_sound(phone: PhoneMachine) -> tuple[str, ...]:
    """Another tone, so that the calls can be told apart."""
    tone = phone.machine.folder / "second.wav"
    write_tone(tone, SECOND_HZ, rate=16000)
    return ("--play", str(tone), "--record", str(phone.heard))


# --- Many calls ---------------------------------------------------------------------------------------------


def test_a_hundred_calls_one_after_another_leave_nothing_behind(two: Two) -> None:
    with two.b.sit_down("--auto-answer", "--codec", "PCMU") as desk:
        processes = [two.a.at.worker(), two.b.at.worker(), desk.pid]
        _call_many(two.a, two.b.uri, 10)
        before = [Kept.of(pid) for pid in processes]
        for ended in _call_many(two.a, two.b.uri, 100):
            assert ended["reason"] == "hung up", ended
        desk.expect("ended")
        wait_until(lambda: not two.b.calls(), LIMIT_S, "the end of the last call")
        after = [Kept.of(pid) for pid in processes]
    for was, now in zip(before, after, strict=True):
        assert now.files <= was.files + 1, (before, after)
        assert now.threads <= was.threads, (before, after)
        assert now.memory_kb < was.memory_kb + 5000, (before, after)


def test_ten_calls_at_once_each_with_its_own_sound(two: Two) -> None:
    ours, theirs = [400.0 + 60 * n for n in range(10)], [1200.0 + 60 * n for n in range(10)]
    two.b.switch(call_waiting=True)
    answering = _many(two.b, "answer", _folder(two.b), *theirs)
    wait_until(lambda: two.b.ask("phone.status")["bells"] == 1, LIMIT_S, "somebody to answer")
    ended = _call_many(two.a, two.b.uri, 10, 10, *ours)
    os.killpg(answering.pid, signal.SIGTERM)
    answering.wait(10)
    two.b.switch(call_waiting=False)
    assert [one["reason"] for one in ended] == ["hung up"] * 10
    for number in range(10):
        assert recorded_tone_s(_folder(two.a) / f"{number}.wav", theirs[number]) > LEAST_S
        assert recorded_tone_s(_folder(two.b) / f"{number}.wav", ours[number]) > LEAST_S


@dataclass(frozen=True, slots=True)
class Kept:
    """What a process holds."""

    files: int
    threads: int
    memory_kb: int

    @classmethod
    def of(cls, pid: int | None) -> Kept:
        """Now."""
        status = Path(f"/proc/{pid}/status").read_text()
        fields = dict(line.split(":", 1) for line in status.splitlines())
        files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        return cls(files, int(fields["Threads"]), int(fields["VmRSS"].split()[0]))


def _folder(phone: PhoneMachine) -> Path:
    folder = phone.machine.folder / "many"
    folder.mkdir(exist_ok=True)
    return folder


def _many(phone: PhoneMachine, role: str, *arguments: object) -> subprocess.Popen[bytes]:
    socket = phone.home / "control.sock"
    words = map(str, (role, socket, phone.address, *arguments))
    argv = [sys.executable, "-m", "tests.netns.many_calls", *words]
    return phone.machine.start(argv, log="many.log", env={"PYTHONPATH": str(REPOSITORY)})


def _call_many(
    phone: PhoneMachine, uri: str, count: int, held: int = 1, *tones: float
) -> list[dict[str, object]]:
    """Make the calls and wait for their ends."""
    running = _many(phone, "call", uri, count, held, _folder(phone), *tones)
    code = running.wait(180)
    log = phone.machine.log("many.log")
    assert code == 0, log[-3000:]
    ended: list[dict[str, object]] = json.loads(log.splitlines()[-1])
    assert len(ended) == count
    return ended


# --- What is killed -----------------------------------------------------------------------------------------


def test_the_call_of_a_seat_that_is_killed_ends_within_seconds(two: Two) -> None:
    with two.b.sit_down("--auto-answer") as desk:
        with two.a.call("bob") as caller:
            desk.expect("established")
            caller.kill()
            ended = desk.expect("ended", SOON_S)
        assert (ended["reason"], ended["by"]) == ("hung up", "them")
        with two.a.call("bob") as caller:
            desk.expect("established")
        assert desk.expect("ended")["by"] == "them"
    with two.b.sit_down("--auto-answer") as desk, two.a.call("bob") as caller:
        caller.expect("established")
        desk.kill()
        assert caller.expect("ended", SOON_S)["by"] == "them"


def test_a_service_that_is_killed_ends_its_calls_and_the_next_one_works(two: Two) -> None:
    with two.b.sit_down("--auto-answer") as desk:
        with two.a.call("bob") as caller:
            desk.expect("established")
            caller.expect("established")
            worker = two.b.at.worker()
            assert worker
            os.kill(worker, signal.SIGKILL)
            assert desk.expect("ended", SOON_S)["reason"] == "the service ended"
            desk.expect("attached", LIMIT_S)
            two.a.ask("call.hangup")  # by itself it ends when nothing was heard for 20 s
            caller.expect("ended", by="us")
        with two.a.call("bob") as caller:
            caller.expect("established")
            desk.expect("established")
