"""The bare data plane: a runner and a TUN in each machine, no node above them.

a: TCP -- TUN -- runner -- veth -- runner -- TUN -- TCP :b
"""

from __future__ import annotations

import hashlib
import json
import os
import sys

import pytest

from dexmesh.cli.lab import Machine, wait_until
from dexmesh.engine._native import Runner
from dexmesh.engine.keys import generate_private_key, public_key_of
from dexmesh.wire.address import format_address
from dexmesh.wire.keys import address_of
from tests.netns.conftest import World

pytestmark = pytest.mark.netns

_SIZE = 3_000_000

# One machine's data plane. It speaks to its peer at slot 0 until user traffic can flow, and goes on
# until its input ends; then it says what it did.
_NODE = """
import asyncio, json, os, socket, sys, time
from dexmesh.engine._native import Runner
from dexmesh.engine.keys import public_key_of
from dexmesh.host.netlink import configure_tun
from dexmesh.host.tun import open_tun
from dexmesh.wire.control import Ping, encode_control
from dexmesh.wire.keys import address_of

own, other = (bytes.fromhex(text) for text in sys.argv[1:3])
endpoint = sys.argv[3]
runner = Runner(own, os.urandom(32))
underlay = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
underlay.bind(("0.0.0.0", 5000))
runner.attach_udp(1, underlay.fileno())
underlay.close()
tun = open_tun()
asyncio.run(configure_tun(tun.name, address_of(public_key_of(own))))
runner.attach_tun(tun.fd, tun.mode)
runner.add_interface(1, False)
runner.add_user("test", b"a password of the test")
if endpoint != "-":
    runner.add_peer(time.monotonic(), 1, endpoint, other, b"a password of the test", "test")

def is_ready():
    return any(session[2] >= 4 for session in runner.session_stats())

os.set_blocking(0, False)
rounds = 0
while rounds < 200 and not (is_ready() and rounds > 20):
    now = time.monotonic()
    if runner.peer_stats():
        runner.send_control(now, 0x13, encode_control(Ping(20, b"")))
        runner.send_inner(now, other, 20, 0x13, 256, b"d1:q2:pne")
        runner.set_route(now, other, 20, 0x13)
    time.sleep(0.02)
    rounds += 1
print("ready" if is_ready() else f"never: {runner.drop_counts()}", flush=True)
os.set_blocking(0, True)
sys.stdin.read()
print(json.dumps([runner.capabilities(), runner.io_stats(), runner.take_faults()]), flush=True)
runner.stop()
"""

_SERVE = """
import hashlib, socket, sys
listener = socket.create_server((sys.argv[1], 8080), family=socket.AF_INET6)
print("listening", flush=True)
stream = listener.accept()[0]
digest = hashlib.sha256()
while piece := stream.recv(1 << 16):
    digest.update(piece)
print(digest.hexdigest(), flush=True)
"""

_SEND = """
import socket, sys
with socket.create_connection((sys.argv[1], 8080), timeout=20) as stream:
    stream.sendall(sys.stdin.buffer.read())
"""


def _said(machine: Machine, log: str, word: str) -> None:
    wait_until(lambda: word in machine.log(log), 15, f"{machine.name} to say {word!r}")


def _carry(sender: Machine, receiver: Machine, address: str) -> None:
    text = os.urandom(_SIZE // 2).hex()
    receiver.start([sys.executable, "-c", _SERVE, address], log="serve.log")
    _said(receiver, "serve.log", "listening")
    sender.run([sys.executable, "-c", _SEND, address], stdin=text)
    _said(receiver, "serve.log", hashlib.sha256(text.encode()).hexdigest())


def test_two_runners_carry_tcp_both_ways_through_both_layers(world: World) -> None:
    a, b = world.lab.machine("a"), world.lab.machine("b")
    _, host = world.lab.cable(a, b)
    keys = [generate_private_key(os.urandom) for _ in "ab"]
    public = [public_key_of(key) for key in keys]
    addresses = [format_address(address_of(key)) for key in public]
    inputs = []
    for machine, own, other, endpoint in ((b, 1, 0, "-"), (a, 0, 1, f"{host}:5000")):
        reading, writing = os.pipe()
        with os.fdopen(reading, "rb") as stdin:
            argv = [
                sys.executable,
                "-c",
                _NODE,
                bytes(keys[own]).hex(),
                public[other].hex(),
                endpoint,
            ]
            machine.start(argv, log="node.log", stdin=stdin)
        inputs.append(writing)
    for machine in (a, b):
        _said(machine, "node.log", "ready")
    _carry(a, b, addresses[1])
    _carry(b, a, addresses[0])
    for writing in inputs:
        os.close(writing)
    for machine in (a, b):
        _said(machine, "node.log", "udp_packets_in")
        capabilities, stats, faults = json.loads(machine.log("node.log").splitlines()[-1])
        assert capabilities == {"tun": "uso", "sockets": {"1": [True, True]}}
        assert faults == []
        assert stats["tun_superframes_in"] > 0
        assert stats["udp_packets_out"] > 3 * stats["udp_send_calls"]
        assert stats["tun_packets_out"] > _SIZE / 1304


def test_a_closed_descriptor_is_refused_and_not_adopted() -> None:
    runner = Runner(bytes(generate_private_key(os.urandom)), os.urandom(32))
    descriptor = os.open("/dev/null", os.O_RDONLY)
    os.close(descriptor)
    with pytest.raises(OSError, match="Bad file descriptor"):
        runner.attach_udp(1, descriptor)
    with pytest.raises(OSError, match="Bad file descriptor"):
        runner.attach_tun(descriptor, 0)
    assert runner.capabilities() == {"tun": None, "sockets": {}}
    runner.stop()
