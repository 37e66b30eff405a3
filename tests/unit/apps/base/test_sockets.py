from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterator

import pytest

from dexmesh.apps.base import sockets
from dexmesh.apps.base.holders import holder_of
from dexmesh.apps.base.me import Me
from dexmesh.apps.base.settings import AppSettings, MailSettings, NamesSettings
from dexmesh.apps.base.sockets import Listening, Purpose, Wish, open_all, wishes
from dexmesh.errors import BindError, PermissionNeededError
from dexmesh.wire.keys import PublicKey, is_node_key

AWAY = "fcde:ad00:beef::1"  # an address this machine does not have
ME_AND_MY_PROCESS = f"(process {os.getpid()})"


@pytest.fixture
def taken() -> Iterator[int]:
    """A port of 127.0.0.1 that somebody has."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _me() -> Me:
    chance = random.Random(7)
    while not is_node_key(key := PublicKey(chance.randbytes(32))):
        pass
    return Me.of(key)


def test_the_settings_say_what_is_opened() -> None:
    me = _me()
    mail = MailSettings(is_on=True, receive_port=2525, submission_ports=(587,), imap_port=0)
    found = wishes(me, AppSettings(me.key, mail, NamesSettings(True, "127.0.0.9", 5353)))
    assert [(one.purpose, one.port, one.is_tcp) for one in found] == [
        (Purpose.RECEIVE, 2525, True),
        (Purpose.SUBMIT, 587, True),
        (Purpose.SUBMIT, 587, True),
        (Purpose.NAMES, 5353, False),
        (Purpose.NAMES, 5353, True),
    ]
    off = AppSettings(me.key, MailSettings(), NamesSettings(is_on=False))
    assert wishes(me, off) == []


def test_short_answers_of_a_server_do_not_wait_for_each_other() -> None:
    listening = open_all([Wish(Purpose.SUBMIT, "127.0.0.1", port := _free_port())])
    (server,) = listening.of(Purpose.SUBMIT)
    with socket.create_connection(("127.0.0.1", port)):
        server.setblocking(True)
        with server.accept()[0] as accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    listening.close()


def test_the_mesh_address_may_come_later() -> None:
    listening = open_all([Wish(Purpose.RECEIVE, AWAY, _free_port())])
    assert len(listening.of(Purpose.RECEIVE)) == 1
    listening.close()


def test_a_taken_port_is_told_with_its_holder_and_what_to_do(taken: int) -> None:
    with pytest.raises(BindError) as caught:
        open_all([Wish(Purpose.SUBMIT, "127.0.0.1", taken)])
    assert f"127.0.0.1:{taken}" in str(caught.value)
    assert ME_AND_MY_PROCESS in str(caught.value)
    assert "submission_ports" in caught.value.hint


def test_one_way_in_for_programs_is_enough(taken: int) -> None:
    other = Wish(Purpose.SUBMIT, "127.0.0.1", _free_port())
    listening = open_all([Wish(Purpose.SUBMIT, "127.0.0.1", taken), other])
    assert [one.wish for one in listening.opened] == [other]
    [warning] = listening.warnings
    assert ME_AND_MY_PROCESS in warning
    listening.close()


def test_the_port_on_the_mesh_has_no_substitute() -> None:
    with socket.create_server(("::", 0), family=socket.AF_INET6) as everywhere:
        port = int(everywhere.getsockname()[1])
        submit = Wish(Purpose.SUBMIT, "127.0.0.1", _free_port())
        with pytest.raises(BindError) as caught:
            open_all([Wish(Purpose.RECEIVE, AWAY, port), submit])
        assert ME_AND_MY_PROCESS in str(caught.value)
    open_all([submit]).close()  # nothing of the first try is left open


@pytest.mark.parametrize("purpose", [Purpose.IMAP, Purpose.NAMES])
def test_reading_and_names_can_be_done_without(taken: int, purpose: Purpose) -> None:
    listening = open_all([Wish(purpose, "127.0.0.1", taken)])
    assert (listening.opened, len(listening.warnings)) == ((), 1)


def test_a_missing_right_is_told_with_the_ways_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_wish: Wish) -> socket.socket:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(sockets, "_open", refuse)
    with pytest.raises(PermissionNeededError) as caught:
        open_all([Wish(Purpose.RECEIVE, AWAY, 25)])
    for way in ("root", "CAP_NET_BIND_SERVICE", "ip_unprivileged_port_start"):
        assert way in caught.value.hint


def test_sockets_are_given_out_by_purpose_and_kind() -> None:
    port = _free_port()
    listening = open_all(
        [Wish(Purpose.NAMES, "127.0.0.1", port, is_tcp) for is_tcp in (True, False)]
    )
    [tcp], [udp] = listening.of(Purpose.NAMES), listening.of(Purpose.NAMES, is_tcp=False)
    assert (tcp.type, udp.type) == (socket.SOCK_STREAM, socket.SOCK_DGRAM)
    assert Listening(()).of(Purpose.NAMES) == ()
    listening.close()


def test_the_holder_of_a_port_is_found_on_every_kind_of_socket() -> None:
    for host, family in (("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)):
        with socket.socket(family, socket.SOCK_DGRAM) as held:
            held.bind((host, 0))
            found = holder_of(host, held.getsockname()[1], is_tcp=False)
            assert found is not None
            assert found.endswith(ME_AND_MY_PROCESS)
    assert holder_of("127.0.0.1", _free_port()) is None
