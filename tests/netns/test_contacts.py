"""Two people become contacts: one shows an invitation, the other takes it, one `accept` ends it.

a (stuart, invites) ---- b (stuart, scans)
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dexmesh.cli.lab import USER, USER_ID, Lab, Machine, wait_until
from tests.netns.mail_machines import DEXMESH, MailMachine

pytestmark = pytest.mark.netns

LIMIT_S = 20.0


@pytest.fixture
def pair() -> Iterator[tuple[MailMachine, MailMachine]]:
    """Two machines with mail on, which know nothing of each other."""
    if os.geteuid() != 0:
        pytest.fail("needs root or a user namespace: run `make test`, which finds a way")
    with Lab("dexmesh-test") as lab:
        left, right = lab.machine("a"), lab.machine("b")
        lab.cable(left, right)
        yield _with_mail(left, "to-b"), _with_mail(right, "to-a")


def _with_mail(machine: Machine, device: str) -> MailMachine:
    """A machine whose cable has the address of its key, with mail running for stuart."""
    config = f"/home/{USER}/cjdroute.conf"
    machine.run([*DEXMESH, "config", "new", config])
    forms = json.loads(machine.run([*DEXMESH, "address", "--config", config, "--json"]).stdout)
    address, key = forms["address"], forms["public_key"]
    machine.run(["ip", "addr", "add", f"{address}/8", "dev", device, "nodad"])
    made = MailMachine(machine, Path(config), key, address, Path(f"/home/{USER}/mesh"))
    made.dexmesh("mail", "on", "--account", USER, "--config", config)
    serve = [*DEXMESH, "mail", "serve", "--home", str(made.home), "--config", config]
    machine.start(serve, log="mail.log")
    wait_until(made.is_serving, LIMIT_S, "the mail service")
    return made


def _told(machine: MailMachine, *arguments: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(machine.dexmesh(*arguments, "--json"))
    return told


def _contacts(machine: MailMachine) -> dict[str, dict[str, Any]]:
    return {one["petname"]: one for one in _told(machine, "contact", "list")["contacts"]}


def test_a_scan_here_and_one_accept_there_make_two_contacts(
    pair: tuple[MailMachine, MailMachine],
) -> None:
    a, b = pair
    invitation = _told(a, "contact", "invite", "--full-name", "Stuart of A", "--name", "ann")
    accepted = _told(b, "contact", "add", invitation["invitation"], "--user", "stuart")
    assert accepted["petname"] == "ann"
    assert accepted["reach"]["theirs"] == "answers", accepted["said"]
    assert any("is told that you accepted" in one for one in accepted["said"])
    [theirs] = accepted["nodes"]
    assert (theirs["address"], theirs["key"]) == (a.address, a.key)

    wait_until(lambda: bool(_told(a, "mail", "requests")["requests"]), LIMIT_S, "the request")
    [request] = _told(a, "mail", "requests")["requests"]
    assert request["says_invited"]
    a.dexmesh("mail", "accept", str(request["number"]))
    [ours] = _contacts(a).values()
    assert (ours["keys"], ours["mails"]) == ([b.key], [b.mailbox])

    b.dexmesh("mail", "send", "ann", "now we know each other", stdin="hello\n")
    inbox = ("mail", "list")
    wait_until(lambda: "now we know" in a.dexmesh(*inbox), LIMIT_S, "the mail of a contact")
    assert _told(a, "mail", "requests")["requests"] == []


def test_files_of_contacts_that_root_adds_belong_to_the_account(
    pair: tuple[MailMachine, MailMachine],
) -> None:
    a, b = pair
    a.dexmesh("contact", "add", "bob", b.mailbox, "--no-check")
    folder = a.home / "contacts"
    listed = a.machine.run(["stat", "-c", "%u %a %n", f"{folder}/bob.vcf", str(folder)]).stdout
    rows = [line.split() for line in listed.splitlines()]
    assert [(int(uid), mode) for uid, mode, _name in rows] == [(USER_ID, "600"), (USER_ID, "700")]
    assert Path(rows[0][2]).name == "bob.vcf"
