"""UDP sockets for links: real ports, clear refusals."""

from __future__ import annotations

import socket

import pytest

from dexmesh.errors import BindError
from dexmesh.host.underlay import open_udp


def test_port_zero_becomes_the_real_port() -> None:
    opened = open_udp("127.0.0.1", 0)
    with opened.socket:
        assert opened.port > 0
        assert opened.bind == f"127.0.0.1:{opened.port}"


def test_an_ipv6_socket_is_for_ipv6_only() -> None:
    opened = open_udp("::1", 0)
    with opened.socket:
        assert opened.is_ipv6
        assert opened.bind == f"[::1]:{opened.port}"
        assert opened.socket.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1


def test_dscp_is_written_as_the_reference_does() -> None:
    opened = open_udp("127.0.0.1", 0, dscp=46)
    with opened.socket:
        assert opened.socket.getsockopt(socket.IPPROTO_IP, socket.IP_TOS) == 0xB8


def test_a_taken_port_is_an_error_that_says_what_to_do() -> None:
    first = open_udp("127.0.0.1", 0)
    with first.socket, pytest.raises(BindError, match="cannot bind UDP") as caught:
        open_udp("127.0.0.1", first.port)
    assert "another program has that port" in caught.value.hint


def test_an_address_of_another_machine_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(BindError) as caught:
        open_udp("192.0.2.1", 0)
    assert "not on this machine" in caught.value.hint


def test_a_socket_remembers_its_traffic_class_for_the_day_it_is_opened_again() -> None:
    opened = open_udp("127.0.0.1", 0, dscp=46)
    with opened.socket:
        assert opened.dscp == 46
