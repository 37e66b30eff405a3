"""Session descriptions are read as phones write them and written as RFC 8866 says."""

from __future__ import annotations

import pytest

from dexmesh.apps.call.media.sdp import (
    MAX_BYTES,
    MAX_FORMATS,
    MAX_LINES,
    MAX_MEDIA,
    Direction,
    Media,
    Origin,
    SessionDescription,
    decode,
    direction_in,
    encode,
    is_unspecified,
    value_of,
)
from dexmesh.errors import DecodeError
from tests.unit.apps.call.media.bodies import BARESIP_OFFER, LINPHONE_OFFER, PEER

HEAD = b"v=0\no=- 1 1 IN IP6 ::1\n"


def test_the_offer_of_linphone_is_read() -> None:
    description = decode(LINPHONE_OFFER)
    assert description.origin == Origin(3761, 1273, "::1", "bob")
    assert (description.name, description.connection) == ("Talk", "::1")
    audio, video = description.media
    assert (audio.kind, audio.port, audio.protocol) == ("audio", 7078, "RTP/AVP")
    assert audio.formats == ("96", "97", "98", "0", "8", "18", "101", "99", "100")
    assert value_of(audio.attributes, "rtcp") == "7079"
    assert (video.kind, video.port) == ("video", 9078)


def test_the_offer_of_baresip_is_read() -> None:
    description = decode(BARESIP_OFFER)
    (audio,) = description.media
    assert description.connection == PEER
    assert direction_in(audio.attributes) is Direction.SENDRECV


def test_what_is_written_has_no_brackets_and_the_order_of_the_standard() -> None:
    media = Media("audio", 7078, "RTP/AVP", ("0",), None, (("sendrecv", ""), ("ptime", "20")))
    written = encode(SessionDescription(Origin(7, 2, PEER), PEER, (), (media,)))
    assert written.decode() == (
        f"v=0\r\no=- 7 2 IN IP6 {PEER}\r\ns=-\r\nc=IN IP6 {PEER}\r\nt=0 0\r\n"
        "m=audio 7078 RTP/AVP 0\r\na=sendrecv\r\na=ptime:20\r\n"
    )


@pytest.mark.parametrize("body", [LINPHONE_OFFER, BARESIP_OFFER])
def test_what_was_read_is_written_and_read_as_the_same(body: bytes) -> None:
    assert decode(encode(decode(body))) == decode(body)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_any_line_end_will_do(end: bytes) -> None:
    assert decode(HEAD.replace(b"\n", end) + b"m=audio 1 RTP/AVP 0" + end).media[0].port == 1


def test_a_missing_last_line_end_and_a_zero_byte_do_not_matter() -> None:
    assert decode(HEAD + b"m=audio 7 RTP/AVP 0\0").media[0].formats == ("0",)


def test_lines_that_mean_nothing_to_us_are_left_out() -> None:
    body = (
        HEAD
        + b"i=x\nu=http://x\nb=AS:80\nk=clear:1\nz=0 0\nnonsense\n=\nm=audio 7 RTP/AVP 0\nb=AS:1"
    )
    assert decode(body).media == (Media("audio", 7, "RTP/AVP", ("0",)),)


def test_an_attribute_before_the_first_media_belongs_to_the_session() -> None:
    description = decode(HEAD + b"a=inactive\nm=audio 7 RTP/AVP 0\na=ptime:30\n")
    assert description.attributes == (("inactive", ""),)
    assert description.media[0].attributes == (("ptime", "30"),)


def test_brackets_ttl_and_number_of_ports_are_tolerated() -> None:
    description = decode(HEAD + b"c=IN IP6 [fc00::1]/3\nm=AUDIO 7/2 rtp/avp 0\n")
    assert description.connection == "fc00::1"
    assert description.media[0] == Media("audio", 7, "RTP/AVP", ("0",))


def test_the_last_direction_counts() -> None:
    assert direction_in((("sendrecv", ""), ("sendonly", ""))) is Direction.SENDONLY
    assert direction_in((("ptime", "20"),)) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"v=1\n",
        b"v=0\n",
        b"o=- 1 1 IN IP6 ::1\nv=0\n",
        b"v=0\no=- 1 1 IN IP6\n",
        b"v=0\no=- 1 1 IN IP6 []\n",
        HEAD + b"c=IN IP6\n",
        HEAD + b"c=IN IP6 /5\n",
        HEAD + b"m=audio\n",
        HEAD + b"m=audio x RTP/AVP 0\n",
        HEAD + b"m=audio 65536 RTP/AVP 0\n",
        HEAD + b"m=audio 7 RTP/AVP\n",
        HEAD + b"m=audio 7 RTP/AVP \xff\n",
        HEAD + b"m=audio 7 RTP/AVP" + b" 0" * (MAX_FORMATS + 1),
        HEAD + b"m=audio 7 RTP/AVP 0\n" * (MAX_MEDIA + 1),
        HEAD + b"a=x\n" * MAX_LINES,
        HEAD + b"a=" + b"x" * MAX_BYTES,
    ],
)
def test_what_is_no_description_is_refused(body: bytes) -> None:
    with pytest.raises(DecodeError):
        decode(body)


@pytest.mark.parametrize("address", ["::", "0:0:0:0:0:0:0:0", "0.0.0.0"])
def test_no_address_at_all_is_the_old_hold(address: str) -> None:
    assert is_unspecified(address)


@pytest.mark.parametrize("address", [None, "::1", PEER, "0.0.0.1", "unknown-host", ""])
def test_any_other_address_is_no_hold(address: str | None) -> None:
    assert not is_unspecified(address)


@pytest.mark.parametrize("direction", Direction)
def test_a_direction_seen_from_the_other_side_and_back_is_the_same(direction: Direction) -> None:
    assert direction.reversed().reversed() is direction
    assert direction.reversed().sends is direction.receives
    assert direction.limited_to(Direction.SENDRECV) is direction
    assert direction.limited_to(Direction.INACTIVE) is Direction.INACTIVE


def test_what_only_sends_meets_what_only_listens_in_silence() -> None:
    assert Direction.SENDONLY.limited_to(Direction.RECVONLY) is Direction.INACTIVE
