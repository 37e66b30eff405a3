"""sipp in a machine: a SIP program that is neither of the phones, with scenarios out of `sipp/`.

A scenario has `@numbers@` in its attributes, filled in here, and `[keys]` in its messages, given to sipp.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from dexmesh.cli.lab import wait_until
from tests.netns.phones import OnMesh

SCENARIOS = Path(__file__).parent / "sipp"
LIMIT_S = 30
_NUMBERS: Mapping[str, str | int] = {
    "talk_ms": 2000,
    "hold_ms": 2000,
    "ring_ms": 500,
    "method": "OPTIONS",
}
RTP_PORT = 6100  # nobody of sipp listens there: the test has it (tests/netns/talkers.py)


class Sipp:
    """sipp at a mesh address. `start` and `play` one scenario after the other."""

    def __init__(
        self, at: OnMesh, user: str = "carol", *, port: int = 5060, is_tcp: bool = False
    ) -> None:
        self.at, self.user, self.port, self.is_tcp = at, user, port, is_tcp
        self._runs = 0

    @property
    def uri(self) -> str:
        """How others call it."""
        return f"sip:{self.user}@[{self.at.address}]"

    def play(
        self, scenario: str, uri: str = "", *, host: str = "", status: int = 200, **keys: str | int
    ) -> str:
        """Run a scenario to its end; returns every message it sent and took."""
        return self.start(scenario, uri, host=host, status=status, **keys).wait()

    def start(
        self, scenario: str, uri: str = "", *, host: str = "", status: int = 200, **keys: str | int
    ) -> Running:
        """Begin a scenario: towards `uri`, or, without one, wait for somebody's request.

        `host` is the address it goes to, where the URI names another one. `keys` are `talk_ms`,
        `hold_ms`, `ring_ms` and `method`, or one of those in `_keys`.
        """
        self._runs += 1
        machine, name = self.at.machine, f"sipp-{self.port}-{self._runs}"
        numbers = {**_NUMBERS, "status": status}
        filled = {key: str(keys.pop(key, number)) for key, number in numbers.items()}
        assert keys.keys() <= self._keys(uri).keys(), keys
        file = machine.folder / f"{name}.xml"
        file.write_text(_fill((SCENARIOS / f"{scenario}.xml").read_text(), filled))
        peer = f"[{host}]:5060" if host else _peer_of(uri)
        argv = [*self._command(file), *([peer] if uri else [])]
        for key, value in (self._keys(uri) | keys).items():
            argv += ["-key", key, str(value)]
        program = machine.start(argv, log=f"{name}.log", env={"TERM": "dumb"})
        begun = Running(program, machine.folder, name)
        if not uri:
            self._wait_listening(begun)
        return begun

    def _keys(self, uri: str) -> dict[str, str | int]:
        address = self.at.address
        return {
            "own": f"[{address}]",
            "bare": address,
            "user": self.user,
            "uri": uri,
            "from": f"<{self.uri}>",
            "to": f"<{uri}>",
            "connection": f"IN IP6 {address}",
            "rtp_port": RTP_PORT,
            "profile": "RTP/AVP",
            "hold": "sendonly",
            "headers": "",  # each with \r\n
            "body": "",
        }

    def _command(self, file: Path) -> list[str]:
        return [
            *("sipp", "-sf", str(file), "-m", "1", "-nostdin"),
            *("-i", self.at.address, "-p", str(self.port), "-t", "t1" if self.is_tcp else "u1"),
            *("-timeout", f"{LIMIT_S}s", "-timeout_error"),
            *("-trace_msg", "-message_file", str(file.with_suffix(".trace"))),
            *("-trace_err", "-error_file", str(file.with_suffix(".errors"))),
        ]

    def _wait_listening(self, begun: Running) -> None:
        kind = "-Hltn" if self.is_tcp else "-Hlun"
        argv = ["ss", kind, f"sport = :{self.port}"]
        wait_until(
            lambda: bool(self.at.machine.run(argv).stdout) or begun.has_ended(),
            10,
            "sipp to listen",
        )


class Running:
    """A scenario under way."""

    def __init__(self, program: subprocess.Popen[bytes], folder: Path, name: str) -> None:
        self._program, self._folder, self._name = program, folder, name

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if not self.has_ended():
            os.killpg(self._program.pid, signal.SIGKILL)
            self._program.wait(10)

    def has_ended(self) -> bool:
        """Whether it is over, well or badly."""
        return self._program.poll() is not None

    def wait(self) -> str:
        """Wait for its end, which must be a good one; returns every message it sent and took."""
        try:
            code = self._program.wait(LIMIT_S + 10)
        except subprocess.TimeoutExpired:
            os.killpg(self._program.pid, signal.SIGKILL)
            raise AssertionError(f"{self._name} does not end\n{self.trace()}") from None
        assert code == 0, f"{self._name}: {code}\n{self._read('errors')}\n{self.trace()}"
        return self.trace()

    def trace(self) -> str:
        """Every message so far."""
        return self._read("trace").replace("\r\n", "\n")

    def _read(self, kind: str) -> str:
        try:
            return (self._folder / f"{self._name}.{kind}").read_text(errors="replace")
        except FileNotFoundError:
            return ""


def _fill(text: str, values: Mapping[str, str]) -> str:
    for key, value in values.items():
        text = text.replace(f"@{key}@", value)
    return text


def _peer_of(uri: str) -> str:
    """The host of a SIP URI with its port, as sipp wants it."""
    host = uri.rpartition("@")[2].partition(";")[0]
    return host if host.rpartition("]")[2] else f"{host}:5060"
