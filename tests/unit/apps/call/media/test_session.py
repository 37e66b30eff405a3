"""A session: what goes out, what is played, digits, reports, silence, holds and other agreements."""

from __future__ import annotations

from array import array
from itertools import pairwise

import pytest

from dexmesh.apps.call.media.drops import DropReason
from dexmesh.apps.call.media.formats import EVENTS_8000, EVENTS_48000, G722, OPUS, PCMA, PCMU
from dexmesh.apps.call.media.rtcp import (
    Goodbye,
    ReceiverReport,
    ReportBlock,
    SenderReport,
    SourceDescription,
    decode_rtcp,
    encode_rtcp,
)
from dexmesh.apps.call.media.rtp import RtpPacket, decode_rtp, encode_rtp
from dexmesh.apps.call.media.sdp import Direction
from dexmesh.apps.call.media.session import (
    DEAD_S,
    MOST_OUTPUTS,
    REPORT_EVERY_S,
    DigitArrived,
    MediaBack,
    MediaDead,
    MediaSession,
)
from dexmesh.errors import UsageError
from tests.unit.apps.call.media.line import (
    BEGIN,
    FRAME_S,
    MADE_UP,
    SILENT,
    Call,
    NumberCodec,
    frame,
    plan,
    session,
)

SSRC = 0xCAFE


def packets(data: list[bytes]) -> list[RtpPacket]:
    decoded = [decode_rtp(one) for one in data]
    assert all(isinstance(one, RtpPacket) for one in decoded)
    return [one for one in decoded if isinstance(one, RtpPacket)]


def spoken(own: MediaSession, frames: int, start: float = 0.0) -> list[RtpPacket]:
    """What a session sends of so many frames."""
    data = [own.push(frame(number), start + number * FRAME_S) for number in range(frames)]
    return packets([one for some in data for one in some])


def heard(own: MediaSession, now: float) -> int:
    """The middle sample of what is played."""
    samples = array("h", own.pull(now))
    assert len(samples) == 160
    return samples[80]


def feed(
    own: MediaSession, number: int, ssrc: int = SSRC, kind: int = 0, at: float | None = None
) -> DropReason | None:
    """Packet `number` of a peer, in its time unless it is said."""
    data = encode_rtp(kind, False, number & 0xFFFF, number * 160, ssrc, bytes([number % 251]) * 160)
    return own.handle_rtp(data, 10 + number * FRAME_S if at is None else at)


# --- Out


def test_packets_are_numbered_timed_and_the_first_is_marked() -> None:
    sent = spoken(session(1), 100)
    assert [one.is_marked for one in sent] == [True, *[False] * 99]
    for one, following in pairwise(sent):
        assert following.sequence == (one.sequence + 1) % 2**16
        assert following.timestamp == (one.timestamp + 160) % 2**32
        assert following.ssrc == one.ssrc
    assert {one.payload_type for one in sent} == {0}
    assert sent[3].payload == bytes([4]) * 160


def test_no_two_sessions_begin_alike() -> None:
    one, other = spoken(session(1), 1)[0], spoken(session(2), 1)[0]
    assert one.ssrc != other.ssrc
    assert one.sequence != other.sequence
    assert one.timestamp != other.timestamp


def test_sequence_and_timestamp_wrap() -> None:
    own = MediaSession(plan(), NumberCodec(), lambda bits: (1 << bits) - 1, 0.0)
    sent = spoken(own, 2)
    assert [one.sequence for one in sent] == [0xFFFF, 0]
    assert [one.timestamp for one in sent] == [0xFFFFFFFF, 159]


@pytest.mark.parametrize(
    ("ptime_ms", "count"), [(10, 240), (20, 120), (30, 80), (40, 60), (60, 40)]
)
def test_packets_are_as_long_as_the_peer_wants(ptime_ms: int, count: int) -> None:
    sent = spoken(session(1, plan(ptime_ms=ptime_ms)), 120)
    assert len(sent) == count
    assert {len(one.payload) for one in sent} == {8 * ptime_ms}
    begins = [(one.timestamp - sent[0].timestamp) % 2**32 for one in sent]
    assert begins == list(range(0, 120 * 160, 8 * ptime_ms))


@pytest.mark.parametrize("direction", [Direction.RECVONLY, Direction.INACTIVE])
def test_nothing_is_sent_where_we_may_not(direction: Direction) -> None:
    assert spoken(session(1, plan(direction)), 10) == []


def test_after_a_hold_the_time_has_run_on_and_the_marker_is_set() -> None:
    own = session(1)
    before = spoken(own, 1)[0]
    own.change(plan(Direction.INACTIVE))
    assert spoken(own, 10) == []
    own.change(plan())
    after = spoken(own, 2)
    assert [one.is_marked for one in after] == [True, False]
    assert after[0].timestamp == (before.timestamp + 11 * 160) % 2**32
    assert after[0].sequence == (before.sequence + 1) % 2**16
    assert after[0].ssrc == before.ssrc


# --- In


@pytest.mark.parametrize("ptime_ms", [10, 20, 30, 40, 60])
def test_packets_of_any_length_are_played_without_a_seam(ptime_ms: int) -> None:
    here = session(1, plan(ptime_ms=ptime_ms), BEGIN)
    call = Call(lambda _number, _at: 0.03, here=here)
    call.run(3)
    assert MADE_UP not in {one for samples in call.heard for one in samples}
    samples = [one for samples in call.heard[50:] for one in samples]
    offset = samples.index(samples[0] + 1)
    assert samples == [samples[0] + (number - offset) // 160 + 1 for number in range(len(samples))]


def test_before_anything_arrived_there_is_silence() -> None:
    own = session(1)
    assert [heard(own, now / 50) for now in range(5)] == [SILENT] * 5
    assert own.statistics(0.1).concealed == 0


def test_a_lost_frame_is_asked_of_its_successor() -> None:
    codec = NumberCodec()
    there = MediaSession(plan(), codec, lambda _bits: 1, 100.0)
    call = Call(lambda number, _at: None if number == 20 else 0.03, there=there)
    call.run(1)
    assert codec.asked_for_fec == [bytes([22]) * 160]
    assert call.numbers().count(MADE_UP) == 1
    statistics = there.statistics(call.now)
    assert (statistics.lost, statistics.concealed) == (1, 1)


def test_a_packet_may_be_overtaken_and_doubled() -> None:
    own = session(1)
    played, drops = [], []
    for tick, numbers in enumerate([(1,), (3,), (2, 3), (4, 4), (5,)]):
        drops += [feed(own, number, at=10 + tick * FRAME_S) for number in numbers]
        played.append(heard(own, 10.001 + tick * FRAME_S))
    double = DropReason.DUPLICATE
    assert drops == [None, None, None, double, None, double, None]
    assert own.drops == {double: 2}
    assert played == [SILENT, SILENT, 1, 2, 3]


def test_while_we_hold_nothing_is_played() -> None:
    own = session(1, plan(Direction.SENDONLY))
    assert feed(own, 1) is DropReason.NOT_LISTENING
    assert heard(own, 10.1) == SILENT


def test_after_a_hold_the_sound_is_played_at_once() -> None:
    own = session(1)
    for number in range(10):
        feed(own, number)
        own.pull(10 + number * FRAME_S)
    own.change(plan(Direction.INACTIVE))
    own.change(plan())
    played = []
    for number in range(500, 520):
        assert feed(own, number) is None
        played.append(heard(own, 10.005 + number * FRAME_S))
    assert played[3:] == [number % 251 for number in range(501, 518)]
    assert own.statistics(25).lost == 0


def test_a_refresh_of_the_session_is_not_heard() -> None:
    call = Call(lambda _number, _at: 0.03)
    call.run(1)
    call.there.change(plan())
    call.here.change(plan())
    call.run(1)
    numbers = call.numbers()[5:]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_what_is_no_sound_of_ours_is_counted_by_its_reason() -> None:
    own = session(1)
    assert own.handle_rtp(b"junk", 1.0) is DropReason.TOO_SHORT
    assert feed(own, 1, kind=13) is DropReason.UNKNOWN_PAYLOAD_TYPE
    assert own.handle_rtp(encode_rtp(0, False, 2, 0, SSRC, b""), 1.0) is DropReason.EMPTY
    assert feed(own, 3) is None
    assert feed(own, 30_000) is DropReason.SEQUENCE_JUMP
    assert own.handle_rtcp(b"junk", 1.0) is DropReason.BAD_VERSION
    assert own.statistics(1.0).drops == {
        "too_short": 1,
        "unknown_payload_type": 1,
        "empty": 1,
        "sequence_jump": 1,
        "bad_version": 1,
    }
    assert own.statistics(1.0).lost == 0


def test_comfort_noise_between_packets_is_no_loss() -> None:
    own = session(1)
    for number in range(20):
        feed(own, number, kind=13 if number % 5 == 4 else 0)
    assert own.statistics(1.0).lost == 0


# --- Sources


def test_another_source_must_prove_itself() -> None:
    own = session(1)
    for number in range(5):
        feed(own, number)
    assert feed(own, 5, ssrc=7) is DropReason.NEW_SOURCE
    assert feed(own, 6, ssrc=7) is DropReason.NEW_SOURCE
    assert feed(own, 7, ssrc=7) is None
    assert [heard(own, 10.101 + n / 50) for n in range(6)] == [SILENT, SILENT, 5, 6, 7, MADE_UP]


def test_a_stranger_between_the_packets_never_takes_over() -> None:
    own = session(1)
    for number in range(50):
        assert feed(own, number) is None
        at = 10 + number * FRAME_S
        assert feed(own, 1000 + number, ssrc=7, at=at) is DropReason.NEW_SOURCE
    assert own.statistics(11).received == 50


def test_a_source_that_is_silent_is_replaced_at_once() -> None:
    own = session(1)
    feed(own, 1)
    assert feed(own, 40, ssrc=7) is None
    statistics = own.statistics(11)
    assert (statistics.received, statistics.lost) == (2, 0)


def test_a_source_that_jumps_about_proves_nothing() -> None:
    own = session(1)
    feed(own, 0)
    for number in (5, 7, 9, 11):
        assert feed(own, number, ssrc=7) is DropReason.NEW_SOURCE


# --- The way


def test_a_steady_way_is_played_with_the_least_delay() -> None:
    call = Call(lambda _number, _at: 0.05)
    call.run(10)
    assert max(call.delays_ms) <= 60
    assert call.there.statistics(call.now).concealed == 0


def test_uneven_arrival_is_waited_for() -> None:
    """Up to 90 ms late, in a fixed pattern: after a second nothing is missed any more."""
    call = Call(lambda number, _at: 0.03 + 0.09 * (number * 7 % 10) / 9)
    call.run(2)
    missed = call.there.statistics(call.now).concealed
    call.run(20)
    assert call.there.statistics(call.now).concealed == missed
    assert 90 <= call.delays_ms[-1] <= 140


def test_the_delay_shrinks_again_once_the_way_is_steady() -> None:
    call = Call(lambda number, at: 0.03 + (0.1 * (number % 2) if at < 10 else 0))
    call.run(10)
    assert call.delays_ms[-1] >= 100
    call.run(15)
    assert call.delays_ms[-1] <= 60


def test_a_gap_of_seconds_and_the_crowd_after_it_do_not_break_the_call() -> None:
    """A route is replaced: nothing for 3 s, then 150 packets at once, then as before."""
    call = Call(lambda _number, at: 0.03 + (13 - at if 10 <= at < 13 else 0))
    call.run(20)
    assert call.delays_ms[-1] <= 60
    numbers = call.numbers()
    gap = numbers[10 * 50 : 13 * 50]
    assert gap.count(MADE_UP) + gap.count(SILENT) >= 140
    after = numbers[int(13.5 * 50) :]
    assert MADE_UP not in after
    assert SILENT not in after
    statistics = call.there.statistics(call.now)
    assert statistics.lost == 0
    assert statistics.too_late >= 140
    assert call.there.take_outputs() == []


def test_a_longer_way_is_followed_without_throwing_anything_away() -> None:
    call = Call(lambda _number, at: 0.03 if at < 5 else 0.33)
    call.run(15)
    assert call.delays_ms[-1] <= 60
    statistics = call.there.statistics(call.now)
    assert (statistics.lost, statistics.too_late) == (0, 0)
    assert statistics.concealed <= 20


def test_a_shorter_way_is_followed_too() -> None:
    call = Call(lambda _number, at: 0.33 if at < 5 else 0.03)
    call.run(15)
    assert call.delays_ms[-1] <= 60


@pytest.mark.parametrize("rate", [0.9995, 1.0005])
def test_a_clock_that_runs_otherwise_is_followed(rate: float) -> None:
    call = Call(lambda _number, _at: 0.03, rate=rate)
    call.run(120)
    statistics = call.there.statistics(call.now)
    assert statistics.concealed <= 10
    assert (statistics.lost, statistics.too_late) == (0, 0)
    assert min(call.delays_ms[50:]) >= 15
    assert max(call.delays_ms) <= 70


def test_a_shortened_frame_is_a_blend_and_no_click() -> None:
    call = Call(lambda _number, _at: 0.03, rate=1.002, sound=lambda n: frame(200 * (n % 2)))
    call.run(60)
    blends = [samples for samples in call.heard[50:] if len(set(samples)) > 1]
    assert len(blends) == pytest.approx(0.002 * 60 * 50, abs=2)
    for samples in blends:
        assert {samples[0], samples[-1]} <= {1, 2, 199, 200, 201}
        assert max(abs(one - other) for one, other in pairwise(samples)) <= 2


# --- Digits


def test_a_digit_crosses_the_line_once() -> None:
    call = Call(lambda number, _at: None if number % 3 == 0 else 0.03)
    call.run(1)
    assert call.here.send_digit("7")
    assert call.here.send_digit("#")
    call.run(1)
    assert call.there.take_outputs() == [DigitArrived("7"), DigitArrived("#")]
    assert call.there.take_outputs() == []


def test_sound_goes_on_after_a_digit() -> None:
    own = session(1)
    spoken(own, 1)
    own.send_digit("1")
    sent = spoken(own, 20)
    assert [one.payload_type for one in sent] == [*[101] * 7, *[0] * 13]
    assert [one.is_marked for one in sent] == [True, *[False] * 19]
    assert len({one.timestamp for one in sent[:7]}) == 1
    assert sent[7].timestamp == (sent[0].timestamp + 7 * 160) % 2**32
    assert [one.sequence for one in sent] == [(sent[0].sequence + n) % 2**16 for n in range(20)]


def test_a_digit_cuts_off_what_waits_for_a_longer_packet() -> None:
    own = session(1, plan(ptime_ms=40))
    assert spoken(own, 1) == []
    own.send_digit("1")
    sent = spoken(own, 9)
    assert [one.payload_type for one in sent] == [*[101] * 7, 0]
    assert sent[7].timestamp == (sent[0].timestamp + 7 * 160) % 2**32


def test_without_telephone_event_no_digit_is_taken() -> None:
    assert not session(1, plan(events=None)).send_digit("1")


def test_while_the_call_is_held_no_digit_is_taken() -> None:
    assert not session(1, plan(Direction.INACTIVE)).send_digit("1")


def test_digits_that_nobody_fetches_do_not_pile_up() -> None:
    own = session(1)
    for number in range(3 * MOST_OUTPUTS):
        payload = bytes([5, 10, 0, 160])
        own.handle_rtp(encode_rtp(101, True, number, number * 1600, SSRC, payload), 1.0)
    assert own.take_outputs() == [DigitArrived("5")] * MOST_OUTPUTS


# --- RTCP


def reports(own: MediaSession, start: float, seconds: float) -> list[tuple[float, bytes]]:
    """All that is due in this time, asked every 20 ms."""
    times = [start + number * FRAME_S for number in range(int(seconds / FRAME_S))]
    due = [(now, own.next_rtcp(now)) for now in times]
    return [(now, data) for now, data in due if data is not None]


def test_a_report_is_due_every_five_seconds() -> None:
    times = [now for now, _ in reports(session(1), 0.0, 30)]
    assert times == pytest.approx([1, 6, 11, 16, 21, 26], abs=FRAME_S)


def test_after_a_sleep_of_the_machine_one_report_is_due() -> None:
    own = session(1)
    assert own.next_rtcp(1000.0) is not None
    assert own.next_rtcp(1000.0 + REPORT_EVERY_S - 0.1) is None
    assert own.next_rtcp(1000.0 + REPORT_EVERY_S) is not None


def test_who_sends_reports_so_and_who_does_not_reports_what_he_hears() -> None:
    own = session(1)
    spoken(own, 50)
    feed(own, 1)
    first, second = (decode_rtcp(data) for _, data in reports(own, 1.0, 6))
    assert isinstance(first, tuple)
    assert isinstance(second, tuple)
    report, names = first
    assert isinstance(report, SenderReport)
    assert (report.packets, report.octets) == (50, 8000)
    assert report.blocks[0].ssrc == SSRC
    assert isinstance(names, SourceDescription)
    assert names.names[0][0] == report.ssrc
    assert isinstance(second[0], ReceiverReport)


def test_the_name_in_reports_says_nothing_about_the_user() -> None:
    data = session(1).next_rtcp(5.0)
    other = session(2).next_rtcp(5.0)
    assert data is not None
    assert other is not None
    assert b"fc" not in data.lower()
    assert data[-20:] != other[-20:]


def test_the_timestamp_of_a_report_is_that_of_its_moment() -> None:
    own = session(1)
    last = spoken(own, 50)[-1]
    report = decode_rtcp(own.next_rtcp(1.48) or b"")
    assert isinstance(report, tuple)
    assert isinstance(report[0], SenderReport)
    # The last frame was pushed at 0.98 s and is over; half a second has passed since.
    assert report[0].rtp_timestamp == (last.timestamp + 160 + 4000) % 2**32
    assert report[0].ntp_time == int(1.48 * 2**32)


def exchange(one: MediaSession, other: MediaSession, now: float, way_s: float) -> None:
    """Reports of both, each under way for so long."""
    for sender, receiver, at in ((one, other, now), (other, one, now + way_s)):
        data = sender.next_rtcp(at)
        assert data is not None
        assert receiver.handle_rtcp(data, at + way_s) is None


def test_round_trip_loss_and_jitter_are_told_by_the_reports() -> None:
    call = Call(lambda number, _at: None if number % 4 == 3 else 0.08)
    call.run(10)
    back = encode_rtp(0, True, 1, 0, 5, bytes(160))  # the other way sound must flow, too
    call.here.handle_rtp(back, call.now)
    exchange(call.here, call.there, call.now, 0.08)
    statistics = call.here.statistics(call.now + 0.2)
    assert statistics.round_trip_ms == pytest.approx(160, abs=1)
    assert statistics.delay_ms == pytest.approx(80 + statistics.buffer_ms, abs=1)
    assert statistics.remote_loss_percent == pytest.approx(25, abs=1)
    assert statistics.remote_jitter_ms is not None
    listened = call.there.statistics(call.now)
    assert listened.loss_percent == pytest.approx(25, abs=1)
    assert listened.recent_loss_percent == pytest.approx(25, abs=1)
    assert listened.mos < 3
    assert listened.round_trip_ms is None


def test_the_recent_loss_forgets_what_is_long_ago() -> None:
    call = Call(lambda number, at: None if at < 5 and number % 2 else 0.03)
    for _ in range(6):
        call.run(5)
        call.there.next_rtcp(call.now)
    statistics = call.there.statistics(call.now)
    assert statistics.recent_loss_percent == 0
    assert statistics.loss_percent == pytest.approx(100 / 12, abs=1)
    assert statistics.mos > 4.2


@pytest.mark.parametrize("last_report", [0, 0x12345678])
def test_a_report_that_cannot_be_true_gives_no_round_trip(last_report: int) -> None:
    own = session(1)
    ssrc = spoken(own, 1)[0].ssrc
    block = ReportBlock(ssrc, 0, 0, 1, 0, last_report, 0)
    own.handle_rtcp(encode_rtcp((ReceiverReport(9, (block,)),)), 1.0)
    assert own.statistics(1.0).round_trip_ms is None
    assert own.statistics(1.0).remote_loss_percent == 0


def test_reports_about_others_are_none_of_ours() -> None:
    own = session(1)
    block = ReportBlock(1234, 99, 5, 1, 0, 0, 0)
    own.handle_rtcp(encode_rtcp((ReceiverReport(9, (block,)),)), 1.0)
    assert own.statistics(1.0).remote_loss_percent is None


def test_the_last_word_is_a_report_and_a_farewell() -> None:
    own = session(1)
    ssrc = spoken(own, 1)[0].ssrc
    last = decode_rtcp(own.end(1.0))
    assert isinstance(last, tuple)
    assert isinstance(last[0], SenderReport)
    assert last[-1] == Goodbye((ssrc,))


def test_a_farewell_of_the_other_side_ends_nothing() -> None:
    own = session(1)
    feed(own, 1)
    assert own.handle_rtcp(encode_rtcp((Goodbye((SSRC,)),)), 11.0) is None
    assert feed(own, 2) is None
    assert own.take_outputs() == []


# --- Silence


def pulled(own: MediaSession, start: float, seconds: float) -> None:
    for number in range(int(seconds / FRAME_S)):
        own.pull(start + number * FRAME_S)


def test_a_dead_way_is_told_once_and_that_it_lives_again() -> None:
    own = session(1)
    feed(own, 0)
    pulled(own, 10.0, DEAD_S - 0.1)
    assert own.take_outputs() == []
    pulled(own, 10.0 + DEAD_S, 5)
    (dead,) = own.take_outputs()
    assert isinstance(dead, MediaDead)
    assert dead.silent_s == pytest.approx(DEAD_S)
    feed(own, 2000)
    assert own.take_outputs() == [MediaBack()]


def test_a_call_in_which_nothing_ever_arrives_is_dead_too() -> None:
    own = session(1)
    pulled(own, 0.0, DEAD_S + 1)
    assert [type(one) for one in own.take_outputs()] == [MediaDead]


def test_reports_alone_keep_a_call_alive() -> None:
    own = session(1)
    for second in range(0, 60, 5):
        own.handle_rtcp(encode_rtcp((ReceiverReport(9),)), float(second))
        pulled(own, float(second), 5)
    assert own.take_outputs() == []


@pytest.mark.parametrize("direction", [Direction.RECVONLY, Direction.SENDONLY, Direction.INACTIVE])
def test_who_holds_may_be_silent(direction: Direction) -> None:
    own = session(1, plan(direction))
    pulled(own, 0.0, 3 * DEAD_S)
    assert own.take_outputs() == []


def test_after_a_hold_the_silence_is_counted_anew() -> None:
    own = session(1, plan(Direction.INACTIVE))
    pulled(own, 0.0, DEAD_S - 1)
    own.change(plan())
    pulled(own, DEAD_S - 1, DEAD_S - 1)
    assert own.take_outputs() == []
    pulled(own, 2 * DEAD_S - 2, 2)
    assert [type(one) for one in own.take_outputs()] == [MediaDead]


def test_a_long_silence_costs_no_concealment() -> None:
    codec = NumberCodec()
    own = MediaSession(plan(), codec, lambda _bits: 1, 0.0)
    feed(own, 0)
    played = [heard(own, 10 + number * FRAME_S) for number in range(500)]
    assert played.count(MADE_UP) == 50
    assert played[-1] == SILENT


# --- What is made up


def fed(own: MediaSession, numbers: range) -> None:
    """Packets in their time, each played as it comes."""
    for number in numbers:
        assert feed(own, number) is None
        own.pull(10.005 + number * FRAME_S)


def concealed(own: MediaSession) -> int:
    return own.statistics(100.0).concealed


def test_frames_that_are_missed_before_we_hold_are_not_counted() -> None:
    """The other side falls silent with our request, and we with its answer: some frames later."""
    own = session(1)
    fed(own, range(10))
    pulled(own, 10.2, 0.2)
    assert concealed(own) == 8  # as far as we know it is gone
    own.change(plan(Direction.SENDONLY))
    pulled(own, 10.4, 1)
    own.change(plan())
    fed(own, range(100, 110))
    assert concealed(own) == 0


def test_frames_that_are_missed_in_the_middle_of_a_call_are_counted_for_good() -> None:
    own = session(1)
    fed(own, range(10))
    pulled(own, 10.2, 0.2)
    fed(own, range(20, 30))
    missed = concealed(own)
    assert missed >= 8
    own.change(plan(Direction.SENDONLY))
    assert concealed(own) == missed


def test_silence_of_one_who_holds_us_is_not_counted_and_a_gap_in_its_music_is() -> None:
    own = session(1, plan(Direction.RECVONLY))
    for sequence, number in enumerate((*range(10), *range(160, 170))):
        data = encode_rtp(0, False, sequence, number * 160, SSRC, bytes(160))
        at = 10 + number * FRAME_S
        assert own.handle_rtp(data, at) is None
        pulled(own, at + 0.005, 3 if number == 9 else FRAME_S)
    assert concealed(own) == 0
    for number in range(170, 180):
        if number != 174:
            data = encode_rtp(0, False, number - 150, number * 160, SSRC, bytes(160))
            assert own.handle_rtp(data, 10 + number * FRAME_S) is None
        own.pull(10.005 + number * FRAME_S)
    assert concealed(own) == own.statistics(20.0).lost == 1


# --- Other agreements


def test_another_codec_of_the_same_clock_keeps_the_source() -> None:
    own = session(1)
    before = spoken(own, 1)[0]
    own.change(plan(sound=PCMA), NumberCodec(PCMA))
    after = spoken(own, 1)[0]
    assert (after.ssrc, after.payload_type) == (before.ssrc, 8)
    feed(own, 1, kind=8)
    assert feed(own, 2) is DropReason.UNKNOWN_PAYLOAD_TYPE


def test_another_clock_makes_another_source() -> None:
    own = session(1)
    before = spoken(own, 5)[0]
    codec = NumberCodec(OPUS, 48_000)
    own.change(plan(sound=OPUS, events=EVENTS_48000), codec)
    one, other = packets(own.push(frame(1, codec), 1.0) + own.push(frame(2, codec), 1.02))
    assert one.ssrc != before.ssrc
    assert (other.timestamp - one.timestamp) % 2**32 == 960
    statistics = own.statistics(1.1)
    assert (statistics.sent, statistics.codec) == (7, "opus")


def test_g722_counts_8000_and_samples_16000() -> None:
    codec = NumberCodec(G722, 16_000)
    own = MediaSession(plan(sound=G722), codec, lambda _bits: 1, 0.0)
    one, other = packets(own.push(frame(1, codec), 0.0) + own.push(frame(2, codec), 0.02))
    assert other.timestamp - one.timestamp == 160
    assert len(own.pull(0.0)) == 640


def test_a_codec_that_is_not_that_of_the_plan_is_refused() -> None:
    with pytest.raises(UsageError):
        MediaSession(plan(sound=PCMA), NumberCodec(PCMU), lambda _bits: 1, 0.0)
    with pytest.raises(UsageError):
        session(1).change(plan(sound=OPUS, events=EVENTS_8000))


def test_a_silence_is_a_loss_before_any_packet_tells_of_it_unless_somebody_holds() -> None:
    call = Call(lambda _number, at: 0.03 if at < 10 else None)
    call.run(10)
    call.there.next_rtcp(call.now)
    assert call.there.statistics(call.now + 0.5).recent_loss_percent == 0
    for _ in range(2):
        call.run(5)
        call.there.next_rtcp(call.now)
    silent = call.there.statistics(call.now)
    assert silent.recent_loss_percent > 95
    assert silent.loss_percent == pytest.approx(50, abs=2)
    assert silent.mos < 1.5
    call.there.change(plan(Direction.INACTIVE))
    held = call.there.statistics(call.now + 10)
    assert (held.recent_loss_percent, held.loss_percent) == (0, 0)


def test_time_on_hold_is_no_loss_and_the_silence_after_it_is() -> None:
    call = Call(lambda _number, at: 0.03 if at < 10 else None)
    call.run(10)
    call.there.change(plan(Direction.INACTIVE))
    call.run(60)
    call.there.change(plan())
    resumed = call.there.statistics(call.now)
    assert (resumed.recent_loss_percent, resumed.loss_percent) == (0, 0)
    call.run(0.5)
    assert call.there.statistics(call.now).loss_percent == 0
    call.run(9.5)
    assert call.there.statistics(call.now).loss_percent == pytest.approx(50, abs=2)


def test_reports_do_not_make_up_for_sound_that_is_missing() -> None:
    call = Call(lambda _number, at: 0.03 if at < 10 else None)
    call.run(20)
    call.there.handle_rtcp(encode_rtcp((ReceiverReport(9),)), call.now)
    silent = call.there.statistics(call.now)
    assert silent.silent_s == 0
    assert silent.loss_percent == pytest.approx(50, abs=2)
