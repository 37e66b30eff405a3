from __future__ import annotations

import errno
import socket
import struct

import pytest

from dexmesh.apps.call.unreachable import is_refusal
from dexmesh.wire.address import Address, parse_address

OWN, TO, OTHER = (parse_address(f"fc00::{number}") for number in (1, 2, 3))
LOCAL, ICMP6 = 1, 3  # linux/errqueue.h
UNREACHABLE, TOO_BIG = 1, 2  # RFC 4443
NO_PORT = 4


def note(number: int, origin: int, kind: int, offender: Address) -> bytes:
    """struct sock_extended_err and the sockaddr_in6 behind it."""
    error = struct.pack("@IBBBBII", number, origin, kind, NO_PORT, 0, 0, 0)
    return error + struct.pack("=HHI16sI", socket.AF_INET6, 0, 0, offender, 0)


@pytest.mark.parametrize(
    ("offender", "is_believed"),
    [(TO, True), (OWN, True), (OTHER, False)],
    ids=["he", "we", "another"],
)
def test_nobody_else_can_say_that_a_node_is_not_reachable(
    offender: Address, is_believed: bool
) -> None:
    told = note(errno.ECONNREFUSED, ICMP6, UNREACHABLE, offender)
    assert is_refusal(told, TO, OWN) is is_believed


def test_a_packet_that_was_too_big_was_not_refused() -> None:
    assert not is_refusal(note(errno.EMSGSIZE, ICMP6, TOO_BIG, TO), TO, OWN)
    assert not is_refusal(note(errno.EMSGSIZE, LOCAL, 0, OWN), TO, OWN)


def test_our_own_kernel_has_no_way_there() -> None:
    assert is_refusal(note(errno.EHOSTUNREACH, LOCAL, 0, OWN), TO, OWN)


def test_half_a_note_says_nothing() -> None:
    whole = note(errno.ECONNREFUSED, ICMP6, UNREACHABLE, TO)
    assert not any(is_refusal(whole[:size], TO, OWN) for size in range(len(whole)))
