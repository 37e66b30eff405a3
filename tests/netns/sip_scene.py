"""Our phone in one machine, and three mesh addresses in the other from which others call it.

a (ours: the service, `dexmesh phone`) ---- cable with fc00::/8 ---- b (a contact, a stranger, a third)
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

from dexmesh.cli.lab import USER, Lab, Machine
from tests.netns.mail_machines import MailMachine, mail_machines
from tests.netns.our_phone import Event, OurPhone, OurProgram

OUR_HZ = 500
CODECS = ["PCMU", "PCMA"]


@dataclass(slots=True)
class Place:
    """One of several mesh addresses of a machine."""

    machine: Machine
    address: str


@dataclass(frozen=True, slots=True)
class Scene:
    """`desk` is a phone of ours that rings, and answers if that is switched on."""

    service: MailMachine
    ours: OurPhone
    desk: OurProgram
    friend: Place
    stranger: Place
    third: Place


@contextlib.contextmanager
def open_scene() -> Iterator[Scene]:
    """Everything started. Voicemail is off: it would answer where these tests expect a refusal."""
    with Lab("dexmesh-test") as lab:
        a, b = mail_machines(lab)
        prefix = b.address.rpartition(":")[0]
        stranger, third = (Place(b.machine, f"{prefix}:{number}") for number in (1, 2))
        for one in (stranger, third):
            b.machine.run(["ip", "addr", "add", f"{one.address}/8", "dev", "to-a", "nodad"])
        a.machine.run(["ip", "-6", "route", "add", "default", "via", b.address, "dev", "to-b"])
        a.dexmesh("phone", "on", "--account", USER, "--config", str(a.config))
        settings = f"{a.home}/apps.toml"
        a.machine.run(["sed", "-i", "s/^voicemail = true$/voicemail = false/", settings])
        options = ["--key", b.key, "--no-check", "--no-request", "--user", USER]
        a.dexmesh("contact", "add", "carol", f"carol@[IPv6:{b.address}]", *options)
        a.serve()
        ours = OurPhone(a, a.home, hz=OUR_HZ)
        with ours.desk() as desk:
            desk.expect("attached")
            yield Scene(a, ours, desk, Place(b.machine, b.address), stranger, third)


@contextlib.contextmanager
def same_again(shared: Scene) -> Iterator[Scene]:
    """The scene for one test; afterwards it is quiet, and the service is the process it was."""
    worker = shared.service.worker()
    shared.ours.switch(auto_answer=True)
    shared.desk.forget()
    try:
        yield shared
        shared.ours.wait_quiet()
    finally:
        for call in shared.ours.calls():
            shared.ours.ask("call.hangup", call=call["call"])
    assert shared.service.worker() == worker


class Seated:
    """A call of ours without sound, for what SIP alone decides. Leaving it hangs up."""

    def __init__(self, ours: OurPhone, to: str) -> None:
        self._service = ours.connect()
        arguments: dict[str, Any] = {"to": to, "port": 7090, "codecs": CODECS}
        self._events = self._service.stream("call.dial", **arguments)
        self.call: int = next(self._events)["call"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._service.close()

    def expect(self, name: str) -> Event:
        """The next event of this name."""
        passed = []
        for event in self._events:
            if event["event"] == name:
                return event
            passed.append(event)
        raise AssertionError(f"no {name}, but {passed}")
