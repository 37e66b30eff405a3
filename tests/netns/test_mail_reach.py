"""Whether mail goes both ways, found out before the first mail waits.

a (stuart) ---- cable with fc00::/8 ---- b (stuart)
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from dexmesh.cli.lab import Lab, wait_until
from tests.netns.mail_machines import MailMachine, mail_machines

pytestmark = pytest.mark.netns

_CHECK = """
import json, sys
from pathlib import Path
from dexmesh.apps.base.control import ControlClient
with ControlClient(Path(sys.argv[1])) as service:
    print(json.dumps(service.call("reach.check", to=sys.argv[2])))
"""
_STOCK = """
import socket, sys
with socket.create_server((sys.argv[1], 25), family=socket.AF_INET6) as server:
    print("ready", flush=True)
    while True:
        one, _ = server.accept()
        one.sendall(b"220 b ESMTP OpenSMTPD\\r\\n")
        one.recv(1000)
        one.sendall(b"250-b Hello\\r\\n250 8BITMIME\\r\\n")
        one.recv(1000)
        one.close()
"""
_CALL = """
import socket, sys
with socket.create_connection((sys.argv[1], 25), 5) as one:
    assert one.recv(100).startswith(b"220 ")
"""


@pytest.fixture
def pair() -> Iterator[tuple[MailMachine, MailMachine]]:
    """a, whose service runs, and b, whose does not."""
    with Lab("dexmesh-test") as lab:
        a, b = mail_machines(lab)
        a.switch_on()
        a.serve()
        yield a, b


def check(asker: MailMachine, other: MailMachine) -> dict[str, Any]:
    """What the service of one machine finds out about the other."""
    socket = str(asker.home / "control.sock")
    said = asker.machine.run([sys.executable, "-c", _CHECK, socket, other.address], timeout_s=90)
    found: dict[str, Any] = json.loads(said.stdout)
    return found


def close_port_25(one: MailMachine) -> None:
    """What a firewall does that drops calls from the mesh, with routing rules alone."""
    for rule in (
        ["add", "pref", "10", "lookup", "local"],
        ["add", "pref", "5", "iif", "to-b", "ipproto", "tcp", "dport", "25", "blackhole"],
        ["del", "pref", "0"],
    ):
        one.machine.run(["ip", "-6", "rule", *rule])


def test_two_nodes_of_ours_prove_both_ways_to_each_other(
    pair: tuple[MailMachine, MailMachine],
) -> None:
    a, b = pair
    b.switch_on()
    b.serve()
    for asker, other in ((a, b), (b, a)):
        found = check(asker, other)
        assert (found["theirs"], found["ours"]) == ("answers", "proven")
        assert found["program"] == "dexmesh"
        assert found["is_good"]
    again = check(a, b)  # too soon to be called back: what is known still holds
    assert again["ours"] == "heard"


def test_a_firewall_of_ours_is_noticed_before_the_first_mail(
    pair: tuple[MailMachine, MailMachine],
) -> None:
    a, b = pair
    b.switch_on()
    b.serve()
    close_port_25(a)
    found = check(a, b)
    assert (found["theirs"], found["ours"]) == ("answers", "blocked")
    assert found["is_wrong"]
    assert "firewall of this machine" in found["sentences"][1]


def test_a_node_without_mail_and_a_node_that_is_off_are_told_apart(
    pair: tuple[MailMachine, MailMachine],
) -> None:
    a, b = pair
    found = check(a, b)
    assert found["theirs"] == "refused"
    assert "dexmesh mail on" in found["sentences"][0]
    b.machine.set_link("to-a", is_up=False)
    found = check(a, b)
    assert found["theirs"] in ("silent", "unreachable")
    assert "sign of life" in found["sentences"][0]


def test_a_stock_server_is_an_estimate_until_it_calls(
    pair: tuple[MailMachine, MailMachine],
) -> None:
    a, b = pair
    b.machine.start([sys.executable, "-c", _STOCK, b.address], log="stock.log")
    wait_until(lambda: "ready" in b.machine.log("stock.log"), 10, "the stock server")
    found = check(a, b)
    assert (found["theirs"], found["ours"]) == ("answers", "unproven")
    assert found["program"] == "OpenSMTPD"
    assert "not known" in found["sentences"][1]
    b.machine.run([sys.executable, "-c", _CALL, a.address])
    assert check(a, b)["ours"] == "heard"
