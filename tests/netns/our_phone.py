"""Our phone in a machine where the service of the apps runs, driven as people and programs drive it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from dexmesh.apps.base.control import ControlClient
from dexmesh.cli.lab import USER, wait_until
from dexmesh.errors import HostError
from tests.netns.phones import OnMesh
from tests.netns.tones import recorded_tone_s, write_tone

Event = Mapping[str, Any]
START_S, EVENT_S = 30.0, 20.0
DEXMESH = (sys.executable, "-m", "dexmesh")


class OurPhone:
    """The phone of one person there. `home`: of the service, as seen in the machine."""

    def __init__(self, at: OnMesh, home: Path, user: str = USER, hz: float = 500) -> None:
        self.machine, self.address, self.user = at.machine, at.address, user
        self.home = home
        self.heard = self.machine.folder / f"heard-{user}"
        self.heard.mkdir(exist_ok=True)
        self.tone = self.machine.folder / f"tone-{hz:g}.wav"
        write_tone(self.tone, hz, rate=16000)
        self._runs = 0

    @property
    def uri(self) -> str:
        """How others call it."""
        return f"sip:{self.user}@[{self.address}]"

    # --- The service

    def connect(self) -> ControlClient:
        """A connection to the service, from here."""
        path = f"/proc/{self.machine.pid}/root{self.home}/control.sock"
        return ControlClient(Path(path), self.user)

    def ask(self, name: str, /, **arguments: Any) -> dict[str, Any]:
        """The result of one control call."""
        with self.connect() as service:
            return service.call(name, **arguments)

    def switch(self, **switches: bool) -> None:
        """As `dexmesh phone auto-answer on` and its sisters."""
        for name, is_on in switches.items():
            self.ask("phone.switch", switch=name, on=is_on)

    def calls(self) -> list[dict[str, Any]]:
        """The calls under way."""
        found: list[dict[str, Any]] = self.ask("call.list")["calls"]
        return found

    def history(self, kind: str = "") -> list[dict[str, Any]]:
        """Calls and texts, the oldest first."""
        found: list[dict[str, Any]] = self.ask("call.history", kind=kind, limit=1000)["entries"]
        return found

    def wait_quiet(self) -> None:
        """Wait until no call is under way."""
        self._wait(lambda: not self.calls(), "the end of all calls")

    # --- Programs that people run

    def desk(self, *options: str) -> OurProgram:
        """`dexmesh phone`: it rings, and answers what answers itself."""
        return self.run("phone", *options)

    def call(self, to: str, *options: str) -> OurProgram:
        """`dexmesh call`."""
        return self.run("call", to, *options)

    def run(
        self,
        *words: str,
        sound: Sequence[str] | None = None,
        program: Sequence[str] = DEXMESH,
        env: Mapping[str, str] | None = None,
    ) -> OurProgram:
        """Start a program that sits at calls: it says its tone and records what it hears."""
        self._runs += 1
        log = f"our-{words[0]}-{self.user}-{self._runs}.log"
        ends = ("--play", str(self.tone), "--record", str(self.heard)) if sound is None else sound
        place = ("--user", self.user, "--home", str(self.home))
        argv = [*program, *words, "--json", *ends, *place]
        return OurProgram(self, self.machine.start(argv, log=log, env=env), log)

    def _wait(self, is_true: Callable[[], bool], what: str, limit_s: float = EVENT_S) -> None:
        try:
            wait_until(is_true, limit_s, what)
        except HostError as error:
            raise AssertionError(str(error)) from None


class OurProgram:
    """A program that tells what happens in JSON lines. Use as a context manager."""

    def __init__(self, phone: OurPhone, program: subprocess.Popen[bytes], log: str) -> None:
        self._phone, self._program, self._log = phone, program, log
        self._seen = self._forgotten = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._program.poll() is None:
            os.killpg(self._program.pid, signal.SIGKILL)
            self._program.wait(10)

    def said(self) -> str:
        """All of it, as it stands in its log."""
        return self._phone.machine.log(self._log)

    def events(self) -> list[Event]:
        """Everything it told."""
        whole, _, _ = self.said().rpartition("\n")
        return [json.loads(line) for line in whole.splitlines() if line.startswith("{")]

    def news(self) -> list[Event]:
        """What it told since `forget`."""
        return self.events()[self._forgotten :]

    def forget(self) -> None:
        """Expect from now on what it tells from now on."""
        self._forgotten = self._seen = len(self.events())

    def expect(self, name: str, limit_s: float = EVENT_S, **facts: object) -> Event:
        """Wait for an event behind the last one that was expected."""
        found: list[Event] = []

        def is_told() -> bool:
            for at, event in enumerate(self.events()[self._seen :], self._seen + 1):
                if event["event"] == name and facts.items() <= event.items():
                    self._seen, found[:] = at, [event]
                    return True
            return self._program.poll() is not None

        try:
            wait_until(is_told, limit_s, name)
        except HostError as error:
            raise AssertionError(f"{error} {facts}\n{self.said()[-3000:]}") from None
        assert found, f"no {name} {facts}\n{self.said()[-3000:]}"
        return found[0]

    def heard_s(self, ended: Event, hz: float) -> float:
        """How many seconds of this tone are in the recording of a call that has ended."""
        return recorded_tone_s(Path(ended["recorded"]), hz)

    def wait(self, limit_s: float = EVENT_S) -> int:
        """Its exit code."""
        return self._program.wait(limit_s)

    @property
    def pid(self) -> int:
        """The process itself, as the host numbers it."""
        children = f"/proc/{self._program.pid}/task/{self._program.pid}/children"
        return int(Path(children).read_text().split()[0])

    def kill(self) -> None:
        """End it in the middle of whatever it does."""
        os.kill(self.pid, signal.SIGKILL)
        self._program.wait(EVENT_S)
