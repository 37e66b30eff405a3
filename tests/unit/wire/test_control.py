from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest

from dexmesh.errors import DecodeError
from dexmesh.wire import control
from dexmesh.wire.headers import SwitchHeader
from dexmesh.wire.keys import PublicKey
from dexmesh.wire.label import Label

KEY = PublicKey(bytes(range(32)))


def frame_of(kind: int, body: bytes) -> bytes:
    """A frame with a right checksum around any body."""
    rest = kind.to_bytes(2, "big") + body
    return control.checksum(bytes(2) + rest).to_bytes(2, "big") + rest


def test_the_checksum_of_a_whole_frame_is_zero() -> None:
    frame = control.encode_control(control.Ping(20, b"abc"))
    assert control.checksum(frame) == 0
    assert control.checksum(frame + b"\x01") != 0


def test_carries_are_folded_until_none_is_left() -> None:
    assert control.checksum(b"\xff\xff" * 3 + b"\x00\x01") == 0xFFFE


@pytest.mark.parametrize("length", range(8))
def test_runts_are_refused(length: int) -> None:
    with pytest.raises(DecodeError, match="cut off"):
        control.decode_control(bytes(length))


def test_a_wrong_checksum_is_refused() -> None:
    frame = bytearray(control.encode_control(control.Ping(20, b"data")))
    frame[-1] ^= 1
    with pytest.raises(DecodeError, match="checksum"):
        control.decode_control(bytes(frame))


def test_only_an_error_may_have_its_checksum_swapped() -> None:
    error = control.ErrorFrame(6, SwitchHeader(Label(1)), bytes(24))
    ping = control.Ping(20)
    for message, is_taken in ((error, True), (ping, False)):
        frame = control.encode_control(message)
        swapped = frame[1::-1] + frame[2:]
        assert swapped != frame
        if is_taken:
            assert control.decode_control(swapped) == message
        else:
            with pytest.raises(DecodeError, match="checksum"):
                control.decode_control(swapped)


@pytest.mark.parametrize("kind", [0, 1, 13, 0xFFFF])
def test_unknown_types_are_refused(kind: int) -> None:
    with pytest.raises(DecodeError, match="unknown type"):
        control.decode_control(frame_of(kind, bytes(64)))


@pytest.mark.parametrize("kind", [kind for kind in control.ControlType if kind > 2])
def test_a_wrong_magic_is_refused(kind: int) -> None:
    with pytest.raises(DecodeError, match="magic"):
        control.decode_control(frame_of(kind, bytes(64)))


MESSAGES = [
    control.Ping(20),
    control.Pong(22, b"x" * 1200),
    control.KeyPing(20, KEY, b"c" * 64),
    control.KeyPong(20, KEY),
    control.SnodeQuery(20),
    control.SnodeReply(22, 22, 0xFFFFFFFF, KEY, Label(0x1533), b"opaque"),
    control.RpathQuery(22, Label(0x13), b"1"),
    control.RpathReply(22, Label(0x15), b"12"),
    control.LladdrQuery(22, None, b"123"),
    control.LladdrReply(22, control.UnderlayAddress(IPv4Address("192.0.2.7"), 4567), b"1234"),
    control.LladdrReply(22, control.UnderlayAddress(IPv6Address("2001:db8::1"), 65535)),
    control.ErrorFrame(1, SwitchHeader(Label(0x71C), label_shift=4), b"\xff\xff\xff\xffrest"),
    control.ErrorFrame(99, SwitchHeader(Label(1))),
]


@pytest.mark.parametrize("message", MESSAGES, ids=repr)
def test_every_message_survives_both_ways(message: control.ControlMessage) -> None:
    assert control.decode_control(control.encode_control(message)) == message


@pytest.mark.parametrize("message", MESSAGES, ids=repr)
def test_a_fixed_part_that_is_cut_off_is_refused(message: control.ControlMessage) -> None:
    frame = control.encode_control(message)
    opaque = message.cause_rest if isinstance(message, control.ErrorFrame) else message.data
    shortest = len(frame) - len(opaque)
    for length in range(8, shortest):
        with pytest.raises(DecodeError):
            control.decode_control(frame_of(frame[3], frame[4:length]))


def pong(data: bytes) -> control.ControlMessage:
    return control.Pong(20, data)


def test_messages_of_the_same_shape_are_not_equal() -> None:
    ping: control.ControlMessage = control.Ping(20, b"a")
    assert ping == control.Ping(20, b"a")
    assert ping != pong(b"a")
    assert "Pong" in repr(control.Pong(20))


def test_a_key_ping_carries_at_most_64_bytes() -> None:
    with pytest.raises(DecodeError, match="too long"):
        control.decode_control(control.encode_control(control.KeyPing(20, KEY, bytes(65))))


@pytest.mark.parametrize("block", ["0002", "031f", "0114", "0208", "0000", "ff20"])
def test_an_address_block_without_a_meaning_is_no_endpoint(block: str) -> None:
    body = bytes.fromhex("6c6c617200000016" + block) + bytes(30)
    message = control.decode_control(frame_of(control.ControlType.LLADDR_REPLY, body))
    assert message == control.LladdrReply(22, None)


def test_an_authentication_error_tells_failure_and_state() -> None:
    rest = bytes(16) + (15).to_bytes(4, "big") + (100).to_bytes(4, "big")
    error = control.ErrorFrame(control.ErrorCode.AUTHENTICATION, SwitchHeader(Label(1)), rest)
    assert error.authentication_failure() == control.AuthenticationFailure(15, 100)


def test_other_and_short_errors_tell_no_authentication_failure() -> None:
    header = SwitchHeader(Label(1))
    assert control.ErrorFrame(1, header, bytes(24)).authentication_failure() is None
    assert control.ErrorFrame(6, header, bytes(23)).authentication_failure() is None


def test_the_failing_node_is_where_the_shift_points() -> None:
    assert control.failing_label(Label(0x071C33), 8) == 0x133
    assert control.failing_label(Label(0x071C33), 0) == 1


def test_a_shift_beyond_the_route_points_to_its_end() -> None:
    assert control.failing_label(Label(0x133), 8) == 0x133
    assert control.failing_label(Label(0x133), 63) == 0x133
