"""Names of the mesh through the resolvers people have, on a machine with a real node.

[ program ] --getent, resolvectl--> [ systemd-resolved | dnsmasq | unbound ] --> [ 127.0.0.67:53 ]
                                                                                   our resolver
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import pytest

from dexmesh.apps.names.advice import Resolver, Situation, advise
from dexmesh.apps.names.zones import PROBE_NAME, reverse_name
from dexmesh.cli.lab import Machine, wait_until
from dexmesh.wire.address import format_address, parse_address
from dexmesh.wire.keys import address_of, decode_key
from tests.netns.conftest import RunningNode, World
from tests.netns.mailers import StockMailer, wait_for

pytestmark = pytest.mark.netns

# Its package would replace /etc/resolv.conf, so `tools/setup` unpacks it instead.
UNPACKED = Path(__file__).parents[2] / ".build" / "systemd-resolved"
PATHS = ":".join(
    (
        *(os.environ.get("PATH", ""), "/usr/sbin", "/sbin", "/usr/lib/systemd", "/lib/systemd"),
        *(str(UNPACKED / folder) for folder in ("usr/bin", "usr/lib/systemd", "lib/systemd")),
    )
)
LIBRARIES = {str(file.parent) for file in UNPACKED.rglob("libsystemd-shared-*.so")}
ENV = {"PATH": PATHS} | ({"LD_LIBRARY_PATH": ":".join(LIBRARIES)} if LIBRARIES else {})
FOREIGN = "127.0.0.99"  # a name server that nobody answers for
_BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen>
<auth>EXTERNAL</auth><policy context="default"><allow user="*"/><allow send_type="method_call"/>
<allow send_type="signal"/><allow send_requested_reply="true" send_type="method_return"/>
<allow send_requested_reply="true" send_type="error"/><allow receive_type="method_call"/>
<allow receive_type="method_return"/><allow receive_type="error"/><allow receive_type="signal"/>
<allow send_destination="*"/><allow own="*"/></policy></busconfig>
"""
_SERVICE = """
import asyncio, signal, socket, sys
from pathlib import Path
from dexmesh.apps.base.me import Me
from dexmesh.apps.base.settings import NamesSettings
from dexmesh.apps.contacts.book import AddressBook
from dexmesh.apps.names.resolved import registering
from dexmesh.wire.keys import decode_key

async def serve(me, contacts):
    from dexmesh.apps.names.server import NamesServer
    udp, tcp = socket.socket(type=socket.SOCK_DGRAM), socket.socket()
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    for one in (udp, tcp):
        one.bind(("127.0.0.67", 53))
    tcp.listen()
    server = NamesServer(me, AddressBook(contacts))
    await server.serve(udp, tcp)
    print("ready", flush=True)
    end = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end.set)
    await end.wait()
    await server.close()

me = Me.of(decode_key(sys.argv[1]))
with registering(me.address, NamesSettings()):
    asyncio.run(serve(me, Path(sys.argv[2])))
"""
BOB = decode_key(PROBE_NAME)


def program(name: str) -> str:
    """The path of a program, which `tools/setup` has installed or unpacked."""
    found = shutil.which(name, path=PATHS)
    if found is None:
        pytest.fail(f"{name} is not installed: run `make setup`")
    return found


def start_names(node: RunningNode) -> subprocess.Popen[bytes]:
    """Our resolver in the machine, with bob in the address book."""
    machine = node.machine
    contacts = machine.folder / "contacts"
    if not contacts.exists():
        contacts.mkdir()
        address = format_address(address_of(BOB))
        (contacts / "bob.vcf").write_text(
            "BEGIN:VCARD\r\nVERSION:4.0\r\nFN:Bob\r\nX-CJDNS-PETNAME:bob\r\n"
            f"EMAIL:bob@[IPv6:{address}]\r\nEND:VCARD\r\n"
        )
    (machine.folder / "names.log").unlink(missing_ok=True)
    argv = [sys.executable, "-c", _SERVICE, node.key, str(contacts)]
    started = machine.start(argv, log="names.log", env=ENV)
    wait_until(lambda: "ready" in machine.log("names.log"), 10, "our resolver")
    return started


def ask(machine: Machine, server: str, name: str, kind: str = "AAAA") -> dns.message.Message:
    """Ask a server in the machine, over UDP."""
    code = (
        "import dns.message, dns.query, sys\n"
        "q = dns.message.make_query(sys.argv[2], sys.argv[3])\n"
        "sys.stdout.write(dns.query.udp(q, sys.argv[1], timeout=5).to_wire().hex())"
    )
    said = machine.run([sys.executable, "-c", code, server, name, kind]).stdout
    return dns.message.from_wire(bytes.fromhex(said))


def texts(reply: dns.message.Message) -> list[str]:
    return [record.to_text() for rrset in reply.answer for record in rrset]


def use(machine: Machine, server: str) -> None:
    """What the C library of the machine asks."""
    (machine.folder / "etc" / "resolv.conf").write_text(f"nameserver {server}\n")


def check_names(node: RunningNode, server: str) -> None:
    """Everything programs need is answered through this server."""
    machine = node.machine
    use(machine, server)
    for name, address in (
        (node.key, node.address),
        (node.key.removesuffix(".k") + ".cjdns.alt", node.address),
        ("bob.cjdns.alt", format_address(address_of(BOB))),
    ):
        said = machine.run(["getent", "ahostsv6", name]).stdout.split()
        assert parse_address(said[0]) == parse_address(address)
    assert texts(ask(machine, server, reverse_name(address_of(BOB)), "PTR")) == ["bob.cjdns.alt."]
    assert node.key in machine.run(["getent", "hosts", node.address]).stdout
    stranger = ask(machine, server, reverse_name(parse_address("fc00:1::2")), "PTR")
    assert stranger.rcode() == dns.rcode.NXDOMAIN
    mail = ask(machine, server, node.key, "MX")
    assert mail.rcode() == dns.rcode.NOERROR
    assert texts(mail) == []
    assert ask(machine, server, "alice.cjdns.alt").rcode() == dns.rcode.NXDOMAIN


def start_resolved(machine: Machine) -> subprocess.Popen[bytes]:
    """systemd-resolved and the bus it needs."""
    daemon, _ = program("systemd-resolved"), program("resolvectl")
    bus_daemon = program("dbus-daemon")
    if "systemd-resolve:" not in (machine.folder / "etc" / "passwd").read_text():
        for file in ("passwd", "group"):
            with (machine.folder / "etc" / file).open("a") as accounts:
                tail = "::/:/bin/false" if file == "passwd" else ":"
                accounts.write(f"systemd-resolve:x:990:{'990' if file == 'passwd' else ''}{tail}\n")
        machine.run(["mkdir", "-p", "/run/dbus", "/run/systemd/resolve"])
        machine.run(["chown", "990:990", "/run/systemd/resolve"])
        bus = machine.folder / "bus.conf"
        bus.write_text(_BUS)
        machine.start([bus_daemon, f"--config-file={bus}", "--nofork"], log="bus.log")
        wait_until(
            lambda: (
                machine.run(["test", "-S", "/run/dbus/system_bus_socket"], check=False).returncode
                == 0
            ),
            5,
            "the bus",
        )
    return machine.start([daemon], log="resolved.log", env=ENV)


def shows(machine: Machine, text: str, what: str = "dns") -> bool:
    """Whether `resolvectl dns|domain` shows this text for some link."""
    done = machine.run([program("resolvectl"), what], check=False, env=ENV)
    return text in done.stdout


def test_names_through_systemd_resolved_which_is_told_again_after_every_restart(
    world: World,
) -> None:
    node = world.node("alfa")
    machine = node.machine
    resolved = start_resolved(machine)
    use(machine, "127.0.0.53")
    before = (machine.folder / "etc" / "resolv.conf").read_text()
    node.start()
    names = start_names(node)
    wait_until(lambda: shows(machine, "127.0.0.67"), 15, "registration")
    assert shows(machine, "~k ~cjdns.alt ~c.f.ip6.arpa", "domain")
    check_names(node, "127.0.0.53")

    node.stop()  # the device goes, and another comes
    node.start()
    wait_until(lambda: shows(machine, "127.0.0.67"), 15, "registration after the node came back")
    check_names(node, "127.0.0.53")

    machine.run(["pkill", "-KILL", "systemd-resolve"])
    resolved.wait(5)
    machine.run(["rm", "-rf", "/run/systemd/resolve/netif"])  # as after a boot
    start_resolved(machine)
    wait_until(lambda: shows(machine, "127.0.0.67"), 15, "registration after a restart")
    check_names(node, "127.0.0.53")

    machine.run(["pkill", "-TERM", "-f", "AddressBook"])
    names.wait(10)
    wait_until(lambda: not shows(machine, "127.0.0.67"), 10, "the end of the registration")
    start_names(node)
    wait_until(lambda: shows(machine, "127.0.0.67"), 15, "registration by a new service")
    machine.run(["pkill", "-KILL", "-o", "-f", "AddressBook"])  # no farewell
    wait_until(lambda: not shows(machine, "127.0.0.67"), 10, "the end after a kill")
    assert (machine.folder / "etc" / "resolv.conf").read_text() == before


def start_dnsmasq(machine: Machine, advice: str) -> None:
    config = machine.folder / "dnsmasq.conf"
    config.write_text(
        f"no-resolv\nserver={FOREIGN}\nlisten-address=127.0.0.1\nbind-interfaces\nstop-dns-rebind\n"
        f"bogus-priv\nuser=root\npid-file=\n{advice}\n"
    )
    machine.start(
        [program("dnsmasq"), "--keep-in-foreground", f"--conf-file={config}"], log="dnsmasq.log"
    )


def start_unbound(machine: Machine, advice: str) -> None:
    config = machine.folder / "unbound.conf"
    config.write_text(
        'server:\n  interface: 127.0.0.1\n  username: ""\n  chroot: ""\n  directory: ""\n'
        '  pidfile: ""\n  use-syslog: no\n  private-address: fc00::/7\n'
        f"{advice}\n"
        f'forward-zone:\n  name: "."\n  forward-addr: {FOREIGN}\n'
    )
    machine.start([program("unbound"), "-d", "-p", "-c", str(config)], log="unbound.log")


@pytest.mark.parametrize("resolver", [Resolver.DNSMASQ, Resolver.UNBOUND])
def test_names_through_a_resolver_set_up_as_we_advise(world: World, resolver: Resolver) -> None:
    starters: Mapping[Resolver, object] = {
        Resolver.DNSMASQ: start_dnsmasq,
        Resolver.UNBOUND: start_unbound,
    }
    program(resolver.value)
    node = world.node("alfa")
    node.start()
    start_names(node)
    advice = advise(Situation(resolver, ("127.0.0.1",)), "tun0", "127.0.0.67", 53)
    start = starters[resolver]
    assert callable(start)
    start(node.machine, advice.text)
    machine = node.machine
    wait_until(
        lambda: (
            machine.run(
                [
                    sys.executable,
                    "-c",
                    "import socket; socket.create_connection(('127.0.0.1', 53))",
                ],
                check=False,
            ).returncode
            == 0
        ),
        10,
        resolver.value,
    )
    check_names(node, "127.0.0.1")


def test_our_resolver_alone_answers_and_leaves_nothing_to_wait_for(world: World) -> None:
    node = world.node("alfa")
    node.start()
    start_names(node)
    check_names(node, "127.0.0.67")
    assert ask(node.machine, "127.0.0.67", "example.com").rcode() == dns.rcode.REFUSED
    reply = ask(node.machine, "127.0.0.67", node.key)
    assert reply.flags & dns.flags.AA


def test_stock_opensmtpd_finds_a_key_name_through_us_and_greets_at_once(world: World) -> None:
    program("smtpctl")
    a, b = StockMailer(world.node("a")), StockMailer(world.node("b"))
    world.join(a.node, b.node)
    b.node.start()
    a.node.start()
    for one in (a, b):
        start_names(one.node)
        use(one.node.machine, "127.0.0.67")
        one.start()
    greet = (
        "import socket, sys, time; began = time.monotonic()\n"
        "one = socket.create_connection((sys.argv[1], 25), 20)\n"
        "assert one.recv(100).startswith(b'220 '); print(time.monotonic() - began)"
    )
    said = a.node.machine.run([sys.executable, "-c", greet, b.node.address], timeout_s=120).stdout
    assert float(said) < 1.0  # 75 s where no name server answers
    message = f"Subject: by name\nTo: {b.key_address()}\n\nno table, no /etc/hosts\n"
    a.run("sendmail", "-f", a.key_address(), b.key_address(), stdin=message)
    mail = wait_for(b, "by name")
    assert "<unknown>" in str(mail["Received"])  # a is no contact of b's: no name, told at once
