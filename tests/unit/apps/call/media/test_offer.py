"""Offers and answers: the best common codec, the payload types of the offer, and nobody's address."""

from __future__ import annotations

import pytest

from dexmesh.apps.call.media.formats import (
    EVENTS_8000,
    EVENTS_48000,
    G722,
    OPUS,
    PCMA,
    PCMU,
    SOUND_FORMATS,
    Format,
)
from dexmesh.apps.call.media.offer import (
    NOT_ACCEPTABLE,
    Agreed,
    AgreedFormat,
    Answer,
    LocalMedia,
    Refusal,
    accept_answer,
    answer,
    make_offer,
    refuse,
)
from dexmesh.apps.call.media.sdp import (
    Direction,
    Media,
    SessionDescription,
    decode,
    direction_in,
    encode,
    value_of,
)
from dexmesh.errors import UsageError
from dexmesh.wire.address import Address, format_address
from tests.unit.apps.call.media.bodies import BARESIP_OFFER, LINPHONE_OFFER, offer_with

OWN = Address(bytes.fromhex("fc11") * 8)
OWN_TEXT = format_address(OWN)
LOCAL = LocalMedia(OWN, 7078, SOUND_FORMATS, 4711)
G711_ONLY = LocalMedia(OWN, 7078, (PCMU, PCMA), 4711)


def answered(
    body: bytes,
    local: LocalMedia = LOCAL,
    willing: Direction = Direction.SENDRECV,
    previous: SessionDescription | None = None,
) -> Answer:
    """The answer to a body, as it arrives on the other side."""
    result = answer(decode(body), local, willing, previous)
    assert isinstance(result, Answer)
    assert refuse(decode(body), local.formats) is None
    assert decode(encode(result.description)) == result.description
    return result


def accepted(result: Agreed | Refusal) -> Agreed:
    assert isinstance(result, Agreed)
    return result


def refused(body: bytes, local: LocalMedia = LOCAL) -> Refusal:
    result = answer(decode(body), local)
    assert isinstance(result, Refusal)
    assert refuse(decode(body), local.formats) == result
    assert result.status == NOT_ACCEPTABLE
    return result


def test_our_offer_is_what_the_specification_lists() -> None:
    lines = encode(make_offer(LOCAL)).decode().split("\r\n")
    assert lines == [
        "v=0",
        f"o=- 4711 1 IN IP6 {OWN_TEXT}",
        "s=-",
        f"c=IN IP6 {OWN_TEXT}",
        "t=0 0",
        "m=audio 7078 RTP/AVP 96 9 0 8 100 101",
        "a=rtpmap:96 opus/48000/2",
        "a=fmtp:96 useinbandfec=1",
        "a=rtpmap:9 G722/8000",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:8 PCMA/8000",
        "a=rtpmap:100 telephone-event/48000",
        "a=fmtp:100 0-15",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-15",
        "a=ptime:20",
        "a=sendrecv",
        "",
    ]


def test_without_opus_no_event_of_its_clock_is_offered() -> None:
    assert make_offer(G711_ONLY).media[0].formats == ("0", "8", "101")


def test_an_offer_without_a_codec_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(UsageError):
        make_offer(LocalMedia(OWN, 7078, (), 1))


def test_linphone_gets_opus_with_its_own_payload_types_and_no_video() -> None:
    result = answered(LINPHONE_OFFER)
    audio, video = result.description.media
    assert audio.formats == ("96", "101")
    assert value_of(audio.attributes, "rtpmap") == "96 opus/48000/2"
    assert ("rtpmap", "101 telephone-event/48000") in audio.attributes
    assert video == Media("video", 0, "RTP/AVP", ("96",))
    agreed = result.agreed
    assert agreed.sound == AgreedFormat(OPUS, 96, 96, "useinbandfec=1")
    assert agreed.events == AgreedFormat(EVENTS_48000, 101, 101)
    assert (agreed.remote_port, agreed.remote_rtcp_port) == (7078, 7079)
    assert (agreed.direction, agreed.ptime_ms) == (Direction.SENDRECV, 20)


def test_linphone_gets_g711_where_we_have_no_opus() -> None:
    result = answered(LINPHONE_OFFER, G711_ONLY)
    assert result.description.media[0].formats == ("0", "100")
    assert result.agreed.codec == PCMU
    assert result.agreed.dtmf_payload_type == 100


def test_baresip_gets_g722_before_g711() -> None:
    agreed = answered(BARESIP_OFFER).agreed
    assert agreed.sound == AgreedFormat(G722, 9, 9)
    assert agreed.events == AgreedFormat(EVENTS_8000, 101, 101, "0-15")
    assert (agreed.remote_port, agreed.remote_rtcp_port) == (15036, 15037)


def test_a_dynamic_payload_type_of_the_offer_is_that_of_the_answer() -> None:
    body = offer_with("a=rtpmap:117 OPUS/48000", audio="7 RTP/AVP 117")
    result = answered(body)
    assert result.description.media[0].formats == ("117",)
    assert result.agreed.payload_type == 117
    assert result.agreed.dtmf_payload_type is None


def test_events_of_another_clock_are_better_than_none() -> None:
    lines = ("a=rtpmap:96 opus/48000/2", "a=rtpmap:97 telephone-event/8000")
    agreed = answered(offer_with(*lines, audio="7 RTP/AVP 96 97")).agreed
    assert agreed.events == AgreedFormat(EVENTS_8000, 97, 97)


def test_static_payload_types_need_no_map() -> None:
    assert answered(offer_with(audio="7 RTP/AVP 18 8")).agreed.codec == PCMA


def test_a_map_wins_over_what_a_payload_type_usually_means() -> None:
    assert "codec" in refused(offer_with("a=rtpmap:0 GSM/8000")).reason


@pytest.mark.parametrize(
    ("lines", "ptime_ms"),
    [
        ((), 20),
        (("a=ptime:10",), 10),
        (("a=ptime:30",), 30),
        (("a=ptime:40",), 40),
        (("a=ptime:60",), 60),
        (("a=ptime:25",), 20),
        (("a=ptime:",), 20),
        (("a=ptime:20.5",), 20),
        (("a=ptime:60", "a=maxptime:40"), 40),
        (("a=maxptime:15",), 10),
        (("a=maxptime:5",), 10),
        (("a=ptime:20", "a=maxptime:0x"), 20),
    ],
)
def test_the_length_of_a_packet_that_the_peer_wants_is_kept(
    lines: tuple[str, ...], ptime_ms: int
) -> None:
    assert answered(offer_with(*lines)).agreed.ptime_ms == ptime_ms


@pytest.mark.parametrize(
    ("lines", "port", "rtcp_port"),
    [
        ((), 7078, 7079),
        (("a=rtcp:9000",), 7078, 9000),
        (("a=rtcp:9000 IN IP6 2001:db8::1",), 7078, 9000),
        (("a=rtcp:0",), 7078, 7079),
        (("a=rtcp:70000",), 7078, 7079),
        (("a=rtcp:x",), 7078, 7079),
        ((), 65535, None),
    ],
)
def test_rtcp_goes_where_the_attribute_says_or_one_port_up(
    lines: tuple[str, ...], port: int, rtcp_port: int | None
) -> None:
    agreed = answered(offer_with(*lines, audio=f"{port} RTP/AVP 0")).agreed
    assert (agreed.remote_port, agreed.remote_rtcp_port) == (port, rtcp_port)


@pytest.mark.parametrize("connection", ["::1", "2001:db8::1", "fc99::9", "192.0.2.1", "nowhere"])
def test_no_address_of_an_offer_is_taken_over(connection: str) -> None:
    result = answered(offer_with(connection=connection))
    assert result.agreed == answered(offer_with()).agreed
    written = encode(result.description).decode()
    assert connection not in written
    assert f"c=IN IP6 {OWN_TEXT}" in written


@pytest.mark.parametrize(
    ("offered", "own"),
    [
        ("sendrecv", Direction.SENDRECV),
        ("sendonly", Direction.RECVONLY),
        ("recvonly", Direction.SENDONLY),
        ("inactive", Direction.INACTIVE),
    ],
)
def test_hold_is_answered_with_its_other_side(offered: str, own: Direction) -> None:
    result = answered(offer_with(f"a={offered}"))
    assert result.agreed.direction is own
    assert direction_in(result.description.media[0].attributes) is own


@pytest.mark.parametrize("connection", ["::", "0.0.0.0"])
def test_the_old_hold_is_a_hold(connection: str) -> None:
    assert answered(offer_with(connection=connection)).agreed.direction is Direction.RECVONLY


def test_the_old_hold_may_be_written_at_the_media() -> None:
    assert answered(offer_with("c=IN IP6 ::")).agreed.direction is Direction.RECVONLY


def test_the_direction_of_the_session_counts_where_the_media_has_none() -> None:
    body = offer_with().replace(b"t=0 0", b"t=0 0\na=sendonly")
    assert answered(body).agreed.direction is Direction.RECVONLY


def test_while_we_hold_we_do_not_listen() -> None:
    agreed = answered(offer_with(), willing=Direction.SENDONLY).agreed
    assert agreed.direction is Direction.SENDONLY


def test_an_encrypted_offer_is_refused_by_its_name() -> None:
    assert "RTP/SAVP" in refused(offer_with(audio="7 RTP/SAVP 0")).reason
    assert "UDP/TLS/RTP/SAVPF" in refused(offer_with(audio="7 UDP/TLS/RTP/SAVPF 0")).reason


def test_beside_an_encrypted_line_the_plain_one_is_taken() -> None:
    result = answered(offer_with("m=audio 9 RTP/AVP 8", audio="7 RTP/SAVP 0"))
    assert [(one.protocol, one.port) for one in result.description.media] == [
        ("RTP/SAVP", 0),
        ("RTP/AVP", 7078),
    ]
    assert result.agreed.remote_port == 9


def test_a_line_with_feedback_is_answered_in_kind() -> None:
    assert answered(offer_with(audio="7 RTP/AVPF 0")).description.media[0].protocol == "RTP/AVPF"


def test_only_one_of_two_audio_lines_is_served() -> None:
    result = answered(offer_with("m=audio 9 RTP/AVP 8", "m=application 5 TCP/BFCP *"))
    assert [one.port for one in result.description.media] == [7078, 0, 0]


@pytest.mark.parametrize(
    ("audio", "reason"),
    [
        ("7 RTP/AVP 18 3", "no common codec"),
        ("7 RTP/AVP 101", "no common codec"),
        ("7 RTP/AVP x 999 -1", "no common codec"),
        ("0 RTP/AVP 0", "no sound is offered"),
    ],
)
def test_without_a_common_codec_nothing_is_agreed(audio: str, reason: str) -> None:
    assert refused(offer_with(audio=audio)).reason == reason


def test_video_alone_is_no_call() -> None:
    assert refused(offer_with().replace(b"m=audio", b"m=video")).reason == "no sound is offered"


@pytest.mark.parametrize(
    "line", ["a=rtpmap:96 opus", "a=rtpmap:96 opus/x", "a=rtpmap:96 PCMU/16000"]
)
def test_a_map_that_is_malformed_or_of_another_clock_is_no_codec(line: str) -> None:
    refused(offer_with(line, audio="7 RTP/AVP 96"))


def test_the_version_grows_with_each_change_and_only_then() -> None:
    first = answered(BARESIP_OFFER)
    again = answered(BARESIP_OFFER, previous=first.description)
    assert again.description == first.description
    held = answered(BARESIP_OFFER.replace(b"sendrecv", b"sendonly"), previous=again.description)
    assert held.description.origin.version == first.description.origin.version + 1
    assert held.description.origin.session_id == first.description.origin.session_id


def test_a_new_offer_keeps_the_lines_and_payload_types_of_the_call() -> None:
    """RFC 3264 §8: the refused video stays in its place, Opus keeps the number of the peer."""
    lines = ("a=rtpmap:101 opus/48000/2", "a=rtpmap:96 telephone-event/48000")
    body = offer_with(*lines, audio="7 RTP/AVP 101 96").replace(b"m=", b"m=video 9 RTP/AVP 31\nm=")
    first = answered(body).description
    offer = make_offer(LOCAL, Direction.SENDONLY, first)
    video, audio = offer.media
    assert (video.kind, video.port) == ("video", 0)
    assert ("rtpmap", "101 opus/48000/2") in audio.attributes
    assert ("rtpmap", "96 telephone-event/48000") in audio.attributes
    assert len(set(audio.formats)) == len(audio.formats) == 6
    assert direction_in(audio.attributes) is Direction.SENDONLY
    assert offer.origin.version == first.origin.version + 1


def test_our_own_offer_is_agreed_with_our_own_answer() -> None:
    offer = make_offer(LOCAL)
    peer = LocalMedia(Address(bytes.fromhex("fc22") * 8), 9000, (PCMA, PCMU), 1)
    result = answered(encode(offer), peer)
    agreed = accepted(accept_answer(offer, result.description))
    assert agreed == Agreed(
        AgreedFormat(PCMA, 8, 8),
        AgreedFormat(EVENTS_8000, 101, 101, "0-15"),
        9000,
        9001,
        Direction.SENDRECV,
        20,
    )
    assert result.agreed.sound == agreed.sound


def test_an_answer_with_several_codecs_means_its_first() -> None:
    body = offer_with("a=rtpmap:101 telephone-event/8000", audio="9000 RTP/AVP 8 0 101")
    agreed = accepted(accept_answer(make_offer(LOCAL), decode(body)))
    assert agreed.codec == PCMA
    assert agreed.dtmf_payload_type == 101


def test_an_answer_may_number_a_codec_otherwise() -> None:
    """RFC 3264 §6.1: we send with the number of the answer and receive with our own."""
    body = offer_with("a=rtpmap:120 opus/48000/2", audio="9000 RTP/AVP 120")
    agreed = accepted(accept_answer(make_offer(LOCAL), decode(body)))
    assert (agreed.sound.send_type, agreed.sound.receive_type) == (120, 96)


def test_a_codec_keeps_its_name_under_the_number_of_the_peer() -> None:
    """He offered Opus as 117; after our own hold it is 117 still, and still our Opus."""
    body = offer_with("a=rtpmap:117 opus/48000/2", audio="7 RTP/AVP 117")
    held = make_offer(LOCAL, Direction.SENDONLY, answered(body).description)
    agreed = accepted(accept_answer(held, decode(body)))
    assert agreed.sound == AgreedFormat(OPUS, 117, 117)


def test_an_answer_without_maps_is_read_by_our_offer() -> None:
    agreed = accepted(accept_answer(make_offer(LOCAL), decode(offer_with(audio="9000 RTP/AVP 96"))))
    assert agreed.codec == OPUS


def test_an_answer_to_our_hold_does_not_make_us_listen() -> None:
    offer = make_offer(LOCAL, Direction.SENDONLY)
    agreed = accepted(accept_answer(offer, decode(offer_with("a=sendrecv"))))
    assert agreed.direction is Direction.SENDONLY
    agreed = accepted(accept_answer(offer, decode(offer_with("a=inactive"))))
    assert agreed.direction is Direction.INACTIVE


@pytest.mark.parametrize(
    "body",
    [
        offer_with(audio="0 RTP/AVP 0"),
        offer_with(audio="9000 RTP/SAVP 0"),
        offer_with(audio="9000 RTP/AVP 18"),
        offer_with(audio="9000 RTP/AVP 101"),
    ],
)
def test_an_answer_that_takes_nothing_of_ours_is_no_call(body: bytes) -> None:
    assert isinstance(accept_answer(make_offer(LOCAL), decode(body)), Refusal)


def test_an_answer_needs_an_offer_of_ours() -> None:
    description = decode(offer_with(audio="0 RTP/AVP 0"))
    with pytest.raises(UsageError):
        accept_answer(description, description)


def test_a_stereo_variant_is_another_codec() -> None:
    refused(offer_with("a=rtpmap:96 PCMU/8000/2", audio="7 RTP/AVP 96"))


def test_a_codec_of_which_nobody_heard_does_not_disturb_the_order() -> None:
    local = LocalMedia(OWN, 7078, (Format("XYZ", 8000, 110), PCMU), 1)
    assert answered(offer_with(), local).agreed.codec == PCMU


def test_parameters_without_end_are_none() -> None:
    body = offer_with("a=fmtp:0 " + "x" * 5000)
    assert answered(body).agreed.sound.parameters == ""
