"""Each fact of mail.md §2 becomes one line that says what to do."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import dns.message
import dns.rcode
import pytest

from dexmesh.apps.base.findings import Finding, Level
from dexmesh.apps.base.settings import NamesSettings
from dexmesh.apps.names import checks
from dexmesh.apps.names.answers import Answers
from dexmesh.apps.names.checks import (
    Answer,
    check_host_name,
    check_resolver,
    check_server,
    check_system,
    in_time,
    names_in,
    who_answers,
)
from dexmesh.apps.names.zones import Names
from tests.unit.apps.names.test_answers import ME, FakeBook

Reply = Callable[[bytes], bytes | None]


def ours(query: bytes) -> bytes | None:
    return Answers(Names(ME, FakeBook())).answer(query, is_udp=True)


def somebody(query: bytes) -> bytes:
    reply = dns.message.make_response(dns.message.from_wire(query))
    reply.set_rcode(dns.rcode.NXDOMAIN)
    return reply.to_wire()


@contextlib.contextmanager
def server(answer: Reply) -> Iterator[int]:
    """A name server on a port of 127.0.0.1."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(0.05)
        is_over = threading.Event()

        def serve() -> None:
            while not is_over.is_set():
                with contextlib.suppress(OSError):
                    data, asker = sock.recvfrom(4096)
                    reply = answer(data)
                    if reply is not None:
                        sock.sendto(reply, asker)

        thread = threading.Thread(target=serve)
        thread.start()
        yield sock.getsockname()[1]
        is_over.set()
        thread.join()


def only(findings: Iterator[Finding]) -> Finding:
    (finding,) = findings
    return finding


def test_who_answers_is_told_apart() -> None:
    with server(ours) as port:
        assert who_answers("127.0.0.1", port) is Answer.OURS
    with server(somebody) as port:
        assert who_answers("127.0.0.1", port) is Answer.OTHERS
    with server(lambda _: b"\xff" * 40) as port:
        assert who_answers("127.0.0.1", port, 0.3) is Answer.SILENCE
    with server(lambda _: None) as port:
        assert who_answers("127.0.0.1", port, 0.2) is Answer.SILENCE
    assert who_answers("127.0.0.1", port, 0.5) is Answer.REFUSAL
    assert who_answers("no address") is Answer.OTHERS


def test_what_is_asked_names_no_contact_and_not_ourselves() -> None:
    asked: list[bytes] = []

    def remember(query: bytes) -> None:
        asked.append(query)

    with server(remember) as port:
        who_answers("127.0.0.1", port, 0.2)
    name = dns.message.from_wire(asked[0]).question[0].name.to_text()
    assert name == "0." * 30 + "c.f.ip6.arpa."


def test_our_own_resolver_runs_or_not_or_is_somebody_else() -> None:
    with server(ours) as port:
        assert only(check_resolver(NamesSettings(True, "127.0.0.1", port))).level is Level.OK
    missing = only(check_resolver(NamesSettings(True, "127.0.0.1", port)))
    assert missing.level is Level.NOTE
    assert "mail, calls and texts work without" in missing.what
    assert "dexmesh up" in missing.todo
    needed = only(check_resolver(NamesSettings(True, "127.0.0.1", port), Path("/etc/resolv.conf")))
    assert needed.level is Level.WRONG
    assert "where /etc/resolv.conf sends programs" in needed.what
    with server(somebody) as port:
        foreign = only(check_resolver(NamesSettings(True, "127.0.0.1", port)))
        assert "another name server" in foreign.what
    assert only(check_resolver(NamesSettings(is_on=False))).level is Level.NOTE


@pytest.mark.parametrize(
    ("answer", "has_stock_mail", "level", "word"),
    [
        (Answer.OURS, True, Level.OK, "stay here"),
        (Answer.OTHERS, False, Level.NOTE, "look up mesh addresses"),
        (Answer.OTHERS, True, Level.WRONG, "who writes to whom"),
        (Answer.SILENCE, True, Level.WRONG, "75 s"),
        (Answer.SILENCE, False, Level.NOTE, "(dexmesh does not)"),
        (Answer.REFUSAL, True, Level.WRONG, "no name server listens"),
        (Answer.REFUSAL, False, Level.NOTE, "no name server listens"),
    ],
)
def test_each_server_of_resolv_conf_is_judged(
    answer: Answer, has_stock_mail: bool, level: Level, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "who_answers", lambda _server: answer)
    finding = only(check_server("192.0.2.1", has_stock_mail=has_stock_mail))
    assert finding.level is level
    assert word in finding.what
    assert bool(finding.todo) is (level is not Level.OK)


@pytest.mark.parametrize(
    ("found", "is_sent", "has_stock_mail", "level"),
    [
        (True, False, True, Level.OK),
        (False, False, True, Level.NOTE),
        (False, True, False, Level.WRONG),
        (None, False, False, Level.NOTE),
        (None, False, True, Level.WRONG),
        (None, True, False, Level.WRONG),
    ],
)
def test_the_system_finds_names_or_not_or_takes_too_long(
    found: bool | None,
    is_sent: bool,
    has_stock_mail: bool,
    level: Level,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checks, "resolves_here", lambda: found)
    sent_by = Path("/etc/dnsmasq.d/dexmesh.conf") if is_sent else None
    finding = only(check_system(sent_by, has_stock_mail=has_stock_mail))
    assert finding.level is level
    assert ("mail, calls and texts work without" in finding.what) is (
        not found and not is_sent and found is not None
    )


def test_a_resolver_that_hangs_is_not_waited_for() -> None:
    begin = time.monotonic()
    assert in_time(lambda: time.sleep(2), 0.1) is None
    assert time.monotonic() - begin < 1
    assert in_time(lambda: 7, 1) == 7


def test_the_own_name_must_be_known_without_dns(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text(f"127.0.0.1 localhost # {socket.gethostname()}\n")
    missing = only(check_host_name(has_stock_mail=True, hosts=hosts))
    assert missing.level is Level.WRONG
    assert missing.todo == f"add the line: 127.0.1.1 {socket.gethostname()}"
    assert only(check_host_name(has_stock_mail=False, hosts=hosts)).level is Level.NOTE
    hosts.write_text(f"127.0.1.1 x {socket.gethostname()}\n")
    assert only(check_host_name(has_stock_mail=True, hosts=hosts)).level is Level.OK
    hosts.write_bytes(b"\xff\xfe\x00\n\n1\n")
    assert names_in(hosts) == frozenset()
    assert names_in(tmp_path / "none") == frozenset()
