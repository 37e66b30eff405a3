"""Registration with systemd-resolved against a scripted `resolvectl`: when, in which order, and not."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dexmesh.apps.base.settings import NamesSettings
from dexmesh.apps.names import resolved
from dexmesh.apps.names.resolved import (
    Registration,
    commands,
    device_of,
    is_resolved_running,
    registering,
    server_text,
    servers_in,
    undo_command,
)
from dexmesh.wire.address import Address, parse_address

ADDRESS = parse_address("fc68:2ecd:2889:c9f0:eae5:6ba4:583d:a21c")
LINE = f"{ADDRESS.hex()} 07 08 00 80 tun-test\n"
_SCRIPT = r"""#!/bin/sh
echo "$@" >> DIR/calls
[ -e DIR/broken ] && { echo "no such link" >&2; exit 1; }
case "$1" in
dns) [ $# -gt 2 ] && echo "$3" > DIR/servers
    [ $# -eq 2 ] && echo "Link 7 (tun-test): $(cat DIR/servers 2>/dev/null)";;
revert) rm -f DIR/servers;;
esac
exit 0
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A machine with systemd-resolved and a device that has ADDRESS."""
    program = tmp_path / "bin" / "resolvectl"
    program.parent.mkdir()
    program.write_text(_SCRIPT.replace("DIR", str(tmp_path)))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(resolved, "ADDRESSES", tmp_path / "if_inet6")
    monkeypatch.setattr(resolved, "LINKS", tmp_path / "netif")
    monkeypatch.setattr(resolved, "SOCKET", str(tmp_path / "socket"))
    (tmp_path / "if_inet6").write_text(LINE)
    with start_resolved(tmp_path):
        yield tmp_path


def start_resolved(folder: Path) -> socket.socket:
    path = folder / "socket"
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen()
    return listening


def calls(machine: Path) -> list[str]:
    """What resolvectl was asked to change since the last time."""
    file = machine / "calls"
    lines = file.read_text().splitlines() if file.exists() else []
    file.unlink(missing_ok=True)
    return [line for line in lines if line != "dns tun-test"]


def make() -> Registration:
    return Registration(ADDRESS, "127.0.0.67", 53)


def test_the_server_comes_after_the_domains_so_that_it_never_gets_other_questions(
    machine: Path,
) -> None:
    make().check()
    made = calls(machine)
    assert made == [" ".join(one[1:]) for one in commands("tun-test", "127.0.0.67", 53)]
    assert made[0] == "domain tun-test ~k ~cjdns.alt ~c.f.ip6.arpa"
    assert made[-1] == "dns tun-test 127.0.0.67"


def test_it_is_done_once_and_again_only_after_a_change(machine: Path) -> None:
    registration = make()
    registration.check()
    calls(machine)
    registration.check()
    assert calls(machine) == []
    (machine / "netif").mkdir()
    (machine / "netif" / "7").write_text("changed by somebody")
    registration.check()
    assert calls(machine) != []
    (machine / "if_inet6").write_text(LINE.replace(" 07 ", " 09 "))  # the device was made anew
    registration.check()
    assert calls(machine) != []


def test_a_restart_of_resolved_is_noticed(machine: Path) -> None:
    registration = make()
    registration.check()
    calls(machine)
    with start_resolved(machine):
        registration.check()
        assert calls(machine) != []


def test_nothing_is_done_without_the_device_or_without_resolved(machine: Path) -> None:
    registration = make()
    (machine / "if_inet6").write_text("")
    registration.check()
    (machine / "if_inet6").write_text(LINE)
    (machine / "socket").unlink()
    assert not is_resolved_running()
    registration.check()
    registration.undo()
    assert calls(machine) == []


def test_a_link_with_servers_of_somebody_else_is_left_alone(machine: Path) -> None:
    (machine / "servers").write_text("192.0.2.53")
    registration = make()
    registration.check()
    registration.undo()
    assert calls(machine) == []


def test_what_was_set_is_taken_back_unless_somebody_changed_it(machine: Path) -> None:
    registration = make()
    registration.check()
    calls(machine)
    registration.undo()
    assert calls(machine) == ["revert tun-test"]
    registration.check()
    (machine / "servers").write_text("192.0.2.53")
    calls(machine)
    registration.undo()
    assert calls(machine) == []


def test_a_failing_program_harms_nobody_and_is_tried_again(machine: Path) -> None:
    registration = make()
    (machine / "broken").touch()
    registration.check()
    (machine / "broken").unlink()
    calls(machine)
    registration.check()
    assert calls(machine) != []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root registers")
def test_a_process_of_its_own_registers_and_takes_back(machine: Path) -> None:
    with registering(ADDRESS, NamesSettings()):
        deadline = time.monotonic() + 10
        while not (machine / "servers").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        time.sleep(0.1)
    assert not (machine / "servers").exists()
    calls(machine)
    with registering(ADDRESS, NamesSettings(is_on=False)):
        time.sleep(0.1)
    assert calls(machine) == []


def test_the_device_is_found_by_its_address(machine: Path) -> None:
    assert device_of(ADDRESS) == resolved.Device("tun-test", 7)
    assert device_of(Address(bytes(16))) is None
    (machine / "if_inet6").write_text(LINE.replace(" 80 ", " c0 "))  # still tentative
    assert device_of(ADDRESS) is None
    (machine / "if_inet6").unlink()
    assert device_of(ADDRESS) is None


def test_servers_are_written_and_read_as_resolvectl_does() -> None:
    assert server_text("127.0.0.67", 53) == "127.0.0.67"
    assert server_text("127.0.0.67", 5353) == "127.0.0.67:5353"
    assert server_text("::1", 5353) == "[::1]:5353"
    assert servers_in("Link 2 (tun0): 127.0.0.67 192.0.2.1\n") == ("127.0.0.67", "192.0.2.1")
    assert servers_in("Link 2 (tun0):\n") == ()
    assert undo_command("tun0") == ("resolvectl", "revert", "tun0")
