"""What is said to the owner of each kind of machine, and what the programs' own checkers say to it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from dexmesh.apps.names.advice import (
    Resolver,
    Situation,
    advise,
    find_situation,
    read_servers,
    sent_here_by,
)

SYSTEM_PATHS = "/usr/sbin:/sbin"
UNBOUND_ALONE = """server:
    username: ""
    directory: ""
    chroot: ""
"""  # what the rest of its configuration says on a real machine
RESOLVERS = {
    ("192.0.2.1", ""): Resolver.PLAIN,
    ("2001:db8::1", ""): Resolver.PLAIN,
    ("127.0.0.53", "systemd-resolve (process 1)"): Resolver.RESOLVED,
    ("127.0.0.1", "dnsmasq (process 1)"): Resolver.DNSMASQ,
    ("::1", "unbound (process 1)"): Resolver.UNBOUND,
    ("127.0.0.1", "named (process 1)"): Resolver.OTHER_LOCAL,
    ("127.0.0.1", ""): Resolver.OTHER_LOCAL,
}


def situation(server: str, holder: str, is_resolved: bool = False) -> Situation:
    servers = (server,) if server else ()
    return find_situation(servers, lambda _: holder or None, lambda: is_resolved)


@pytest.mark.parametrize("case", RESOLVERS)
def test_the_program_behind_the_first_server_decides(case: tuple[str, str]) -> None:
    assert situation(*case).resolver is RESOLVERS[case]


def test_resolved_counts_by_running_not_by_its_address_alone() -> None:
    assert situation("127.0.0.53", "", is_resolved=True).resolver is Resolver.RESOLVED
    assert situation("127.0.0.53", "", is_resolved=False).resolver is Resolver.OTHER_LOCAL
    assert situation("", "", is_resolved=False).resolver is Resolver.NONE
    idle = situation("192.0.2.1", "", is_resolved=True)
    assert idle.resolver is Resolver.PLAIN
    assert "stub-resolv.conf" in advise(idle, "tun0", "127.0.0.67", 53).text


def test_servers_are_read_as_the_c_library_reads_them(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text(
        "# nameserver 192.0.2.9\nsearch x\nnameserver 192.0.2.1\n nameserver\t::1 # x\n"
    )
    assert read_servers(file) == ("192.0.2.1", "::1")
    file.write_bytes(b"\xff\x00nameserver\nnameserver 1\n")
    assert read_servers(file) == ("1",)
    assert read_servers(tmp_path / "none") == ()


@pytest.mark.parametrize(
    ("line", "is_sent"),
    [
        ("nameserver 127.0.0.67", True),
        ("server=/k/127.0.0.67#5353", True),
        ("    stub-addr: 127.0.0.67@5353", True),
        ("# nameserver 127.0.0.67", False),
        ("nameserver 127.0.0.6", False),
        ("nameserver 1.127.0.0.67", False),
        ("nameserver 127.0.0.671", False),
    ],
)
def test_who_sends_programs_to_our_resolver_is_found(
    tmp_path: Path, line: str, is_sent: bool
) -> None:
    (tmp_path / "other.conf").write_bytes(b"\xff\n")
    file = tmp_path / "mesh.conf"
    file.write_text(f"# ours\n{line}\n")
    patterns = [str(tmp_path / "none"), str(tmp_path / "*.conf"), str(tmp_path)]
    assert sent_here_by("127.0.0.67", patterns) == (file if is_sent else None)


@pytest.mark.parametrize("resolver", list(Resolver))
def test_nobody_is_told_to_put_us_into_resolv_conf(resolver: Resolver) -> None:
    advice = advise(Situation(resolver, ("192.0.2.1",)), "tun0", "127.0.0.67", 53)
    assert "nameserver 127" not in advice.text
    assert advice.title
    assert advice.text


@pytest.mark.parametrize("port", [53, 5353])
@pytest.mark.parametrize("resolver", [Resolver.DNSMASQ, Resolver.NETWORK_MANAGER, Resolver.UNBOUND])
def test_the_checkers_of_the_programs_are_content(
    resolver: Resolver, port: int, tmp_path: Path
) -> None:
    advice = advise(Situation(resolver, ("127.0.0.1",)), "tun0", "127.0.0.67", port)
    name = advice.checker[0]
    program = shutil.which(name) or shutil.which(name, path=SYSTEM_PATHS)
    if program is None:
        pytest.skip(f"{name} is not installed")
    file = tmp_path / "dexmesh.conf"
    alone = UNBOUND_ALONE if name.startswith("unbound") else ""
    file.write_text(f"{advice.text}\n{alone}")
    argv = [program, *advice.checker[1:], str(file)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warning" not in done.stderr.lower()
