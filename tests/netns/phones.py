"""Stock phones in machines, driven as people drive them: linphonec and baresip.

Each is set up in the home of the person it belongs to, plays a tone into its calls and keeps what it
hears; what it says is in `<machine folder>/<program>-<person>.log`.
"""

from __future__ import annotations

import abc
import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, ClassVar, Protocol, Self

from dexmesh.cli.lab import USER, Machine, wait_until
from dexmesh.errors import HostError
from tests.netns.sockets import in_network
from tests.netns.tones import recorded_tone_s, write_tone

START_S = 20.0
CALL_S = 15.0
_WAV_HEADER = 44


class OnMesh(Protocol):
    """A machine with a mesh address: a RunningNode, a MailMachine or whatever else has both."""

    machine: Machine
    address: str


def device_of(at: OnMesh) -> str:
    """The network device that carries the mesh address."""
    shown = at.machine.run(["ip", "-j", "-6", "addr", "show", "to", at.address]).stdout
    return str(json.loads(shown)[0]["ifname"])


class StockPhone(abc.ABC):
    """A phone that somebody runs in a machine. Use as a context manager."""

    program: ClassVar[str]
    ringing: ClassVar[str]  # what it says when a call comes in
    established: ClassVar[str]
    ended: ClassVar[str]
    text: ClassVar[str]  # `(?P<sender>)`, `(?P<text>)`

    def __init__(self, at: OnMesh, user: str = USER, full_name: str = "Real Name") -> None:
        self.machine, self.address, self.user, self.full_name = (
            *(at.machine, at.address),
            *(user, full_name),
        )
        self.home = f"/home/{user}"
        self.log_name = f"{self.program}-{user}.log"
        self._program: subprocess.Popen[bytes] | None = None
        self._keys: IO[bytes] | None = None
        self._began = self._seen = len(self.log())  # of an earlier one in the same machine
        self.run("rm", "-rf", "heard", "linphonec.log")
        self.run("mkdir", "heard")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    @property
    def uri(self) -> str:
        """How others call it."""
        return f"sip:{self.user}@[{self.address}]"

    @property
    def root(self) -> Path:
        """The home of its owner as the test sees it."""
        return Path(f"/proc/{self.machine.pid}/root{self.home}")

    # --- Running it -----------------------------------------------------------------------------------

    def start(self) -> None:
        """Start it and wait until it listens."""
        ours, theirs = os.pipe()
        self._keys = os.fdopen(theirs, "wb", buffering=0)
        with os.fdopen(ours, "rb") as stdin:
            argv = self.machine.as_person(self._command(), self.user)
            self._program = self.machine.start(argv, log=self.log_name, stdin=stdin)
        self._wait(lambda: self._has_port() or not self.is_running(), "the port", START_S)
        assert self.is_running(), self.log()

    def stop(self) -> None:
        """End it, whatever it does."""
        if self._program is not None:
            if self.is_running():
                os.killpg(self._program.pid, signal.SIGKILL)
            self._program.wait(10)
            wait_until(lambda: not self._has_port(), 10, f"the end of {self.program}")
        if self._keys is not None:
            self._keys.close()

    def is_running(self) -> bool:
        """Whether it has not ended by itself."""
        return self._program is not None and self._program.poll() is None

    def log(self) -> str:
        """What it said."""
        return self.machine.log(self.log_name)

    def expect(self, pattern: str, limit_s: float = CALL_S) -> re.Match[str]:
        """Wait until it says `pattern`, behind what the last `expect` found."""
        found: list[re.Match[str]] = []

        def is_said() -> bool:
            match = re.compile(pattern).search(self.log(), self._seen)
            found[:] = [match] if match else []
            return bool(found)

        self._wait(is_said, repr(pattern), limit_s)
        self._seen = found[0].end()
        return found[0]

    def forget(self) -> None:
        """Expect from now on what it says from now on."""
        self._seen = len(self.log())

    def texts(self) -> list[tuple[str, str]]:
        """Sender and text of every message it showed."""
        found = re.finditer(self.text, self.log()[self._began :])
        return [(match["sender"], match["text"]) for match in found]

    def wait_text(self, text: str, limit_s: float = CALL_S) -> str:
        """Wait until this text is shown; returns the sender as it was shown."""
        self._wait(lambda: any(text == one for _, one in self.texts()), repr(text[:60]), limit_s)
        return next(sender for sender, one in self.texts() if one == text)

    def write(self, path: str, text: str) -> str:
        """Put a text into a file of its owner, in folders that may be new; returns the whole path."""
        full = f"{self.home}/{path}"
        self.run("mkdir", "-p", str(Path(full).parent))
        self.run("tee", full, stdin=text)
        return full

    def run(self, *argv: str, stdin: str = "") -> str:
        """Run a program as its owner; returns what it printed."""
        return self.machine.run(self.machine.as_person(argv, self.user), stdin=stdin).stdout

    def press(self, line: str) -> None:
        """Type a line."""
        assert self._keys is not None, "it was not started"
        self._keys.write(line.encode() + b"\n")

    def _has_port(self) -> bool:
        """Whether it listens, over TCP as well: that comes last."""
        listening = self.machine.run(["ss", "-Hltnp", "sport = :5060"]).stdout
        return f'"{self.program}"' in listening

    def _tone(self, hz: float, rate: int, channels: int = 1) -> Path:
        path = self.machine.folder / f"tone-{hz:g}-{rate}-{channels}.wav"
        if not path.exists():
            write_tone(path, hz, rate=rate, channels=channels)
        return path

    def listen(self, seconds: float = 2.5) -> None:
        """Stay in the call for that long after it began to hear something, be it silence."""
        self._wait(lambda: self._recorded() > _WAV_HEADER, "sound")
        time.sleep(seconds)

    def heard_s(self, hz: float) -> float:
        """How many seconds of this tone are in what it heard during the last call, which is over."""
        self._wait(lambda: self.recording().read_bytes()[:4] == b"RIFF", "its recording")
        return recorded_tone_s(self.recording(), hz)

    def _recorded(self) -> int:
        """The size of the recording so far: a header and samples."""
        try:
            return self.recording().stat().st_size
        except (FileNotFoundError, ValueError):
            return 0

    def _wait(self, is_true: Callable[[], bool], what: str, limit_s: float = CALL_S) -> None:
        """Wait for something; when it does not come, say what the program said meanwhile."""
        try:
            wait_until(is_true, limit_s, f"{what} of {self.program}")
        except HostError as error:
            raise AssertionError(f"{error}\n{self.log()[self._seen :][-4000:]}") from None

    # --- What a person does with it -------------------------------------------------------------------

    @abc.abstractmethod
    def _command(self) -> Sequence[str]:
        """The command line."""

    @abc.abstractmethod
    def say(self, hz: float) -> None:
        """Play this tone into the next call, and keep what is heard in a new file."""

    @abc.abstractmethod
    def call(self, uri: str) -> None:
        """Call somebody."""

    @abc.abstractmethod
    def answer(self) -> None:
        """Take the call that rings."""

    @abc.abstractmethod
    def hang_up(self) -> None:
        """End the call."""

    @abc.abstractmethod
    def hold(self) -> None:
        """Hold the call."""

    @abc.abstractmethod
    def resume(self) -> None:
        """Go on with the call."""

    @abc.abstractmethod
    def send_key(self, key: str) -> None:
        """Press a key during a call."""

    @abc.abstractmethod
    def heard_keys(self) -> str:
        """The keys that the other side has pressed so far, in all calls."""

    @abc.abstractmethod
    def send_text(self, uri: str, text: str) -> None:
        """Send a message of one line."""

    @abc.abstractmethod
    def recording(self) -> Path:
        """What it heard during the last call, as the test sees it."""


# --- linphone -----------------------------------------------------------------------------------------------


def article_file(address: str, user: str = USER, full_name: str = "Real Name") -> str:
    """The configuration in the article of old (docs/apps/sip.md §2), without `bind_address`."""
    return (
        "[sip]\nsip_port=5060\nguess_hostname=0\n"
        f'contact="{full_name}" <sip:{user}@[{address}]>\nuse_ipv6=1\n'
        "[rtp]\naudio_rtp_port=7078\nvideo_rtp_port=9078\n"
        f"[net]\nfirewall_policy=1\nnat_address={address}\n"
    )


def bound_file(address: str, user: str = USER, full_name: str = "Real Name") -> str:
    """The same with the line that makes the offer name the mesh address."""
    text = article_file(address, user, full_name).partition("[net]")[0]
    return (
        text.replace("[rtp]\n", f"[rtp]\nbind_address={address}\n") + "[net]\nfirewall_policy=0\n"
    )


class Linphone(StockPhone):
    """linphonec, with files for a sound card."""

    program = "linphonec"
    ringing = r"Receiving new incoming call from (?P<caller>.*), assigned id \d+"
    established = r"Media streams established with "
    ended = r"Call \d+ with .* ended"
    text = r"Message received from (?P<sender>\S+): (?P<text>.*)"

    def __init__(
        self,
        at: OnMesh,
        user: str = USER,
        *,
        text: str | None = None,
        path: str = ".linphonerc",
        answers: bool = False,
    ) -> None:
        super().__init__(at, user)
        self.answers = answers
        self.write(path, bound_file(at.address, user) if text is None else text)
        self.write(".local/share/linphone/.made", "")  # else it has no place for its messages
        self._path = path
        self._calls = 0

    def start(self) -> None:
        """Start it with files for a sound card."""
        super().start()
        self.expect("linphonec> ", START_S)
        self.press("soundcard use files")
        if self.answers:
            self.press("autoanswer enable")
            self.expect("Auto answer enabled")

    def _command(self) -> list[str]:
        named = [] if self._path == ".linphonerc" else ["-c", f"{self.home}/{self._path}"]
        return ["linphonec", *named, "-d", "6", "-l", f"{self.home}/linphonec.log"]

    def trace(self) -> str:
        """Its own log: every message it sent and took."""
        return (self.root / "linphonec.log").read_text(errors="replace")

    def say(self, hz: float) -> None:
        """Play this tone into the next call, and keep what is heard in a new file."""
        self._calls += 1
        self.press(f"play {self._tone(hz, 16000)}")
        self.press(f"record {self.home}/heard/{self._calls}.wav")

    def call(self, uri: str) -> None:
        """Call somebody."""
        self.press(f"call {uri}")

    def answer(self) -> None:
        """Take the call that rings."""
        self.press("answer")

    def hang_up(self) -> None:
        """End the call."""
        self.press("terminate")

    def hold(self) -> None:
        """Hold the call."""
        self.press("pause")

    def resume(self) -> None:
        """Go on with the call."""
        self.press("resume")

    def send_key(self, key: str) -> None:
        """Press a key during a call."""
        self.press(key)

    def heard_keys(self) -> str:
        """The keys that the other side has pressed so far, in all calls."""
        return "".join(re.findall(r"Receiving dtmf (\S)\.", self.trace()))

    def send_text(self, uri: str, text: str) -> None:
        """Send a message of one line."""
        self.press(f"chat {uri} {text}")

    def friends(self) -> str:
        """Its address book as it shows it."""
        self.press("friend list")
        return self.expect(r"\*\*\* Friend 0 \*[\s\S]*?linphonec> ", 5).group()

    def recording(self) -> Path:
        """What it heard during the last call, as the test sees it."""
        return self.root / f"heard/{self._calls}.wav"


# --- baresip ------------------------------------------------------------------------------------------------

_CODECS: Mapping[str, tuple[str, int, int]] = {  # module, sample rate, channels
    "pcmu": ("g711", 8000, 1),
    "pcma": ("g711", 8000, 1),
    "g722": ("g722", 16000, 1),
    "opus": ("opus", 48000, 2),
}


def baresip_files(
    at: OnMesh, user: str, codec: str, answers: bool, contacts: Sequence[str]
) -> dict[str, str]:
    """The configuration in docs/apps/sip.md §2."""
    mode = ";answermode=auto" if answers else ""
    return {
        "config": (
            f"sip_listen [{at.address}]:5060\nnet_interface {device_of(at)}\nrtp_ports 7078-7098\n"
            f"module {_CODECS[codec][0]}.so\nmodule_tmp account.so\n"
            "module_app contact.so\nmodule_app menu.so\n"
        ),
        "accounts": f'"Real Name" <sip:{user}@[{at.address}]>;regint=0{mode};audio_codecs={codec}\n',
        "contacts": "".join(f'"Contact {n}" <{uri}>\n' for n, uri in enumerate(contacts)),
    }


class Baresip(StockPhone):
    """baresip, with files for a sound card, driven over its control port."""

    program = "baresip"
    ringing = r"Incoming call from: (?P<caller>.*) - \(press"
    established = r"Call established: "
    ended = r"(session closed|terminated)"
    text = r'(?m)^(?P<sender>sip:\S+): "(?P<text>[^"]*)"'

    def __init__(
        self,
        at: OnMesh,
        user: str = USER,
        *,
        codec: str = "pcmu",
        files: Mapping[str, str] | None = None,
        contacts: Sequence[str] = (),
        answers: bool = True,
    ) -> None:
        super().__init__(at, user)
        self.codec = codec
        self._flags = () if files else ("-6",)  # where the device has an IPv4 address, too
        for name, text in (files or baresip_files(at, user, codec, answers, contacts)).items():
            self.write(f".baresip/{name}", (self._for_tests() if name == "config" else "") + text)

    def _for_tests(self) -> str:
        """What a machine without sound and a test without hands need: of two lines the first counts."""
        return (
            "module_path /usr/lib/baresip/modules\n"
            "module stdio.so\nmodule aubridge.so\nmodule aufile.so\nmodule sndfile.so\n"
            "module_app ctrl_tcp.so\nctrl_tcp_listen 127.0.0.1:4444\nstatmode_default off\n"
            "audio_player aubridge,none\naudio_alert aubridge,none\n"
            f"audio_source aufile,{self._source(440)}\nsnd_path {self.home}/heard\n"
        )

    def _source(self, hz: float) -> Path:
        return self._tone(hz, *_CODECS[self.codec][1:])

    def _command(self) -> list[str]:
        return ["baresip", *self._flags, "-v"]

    def command(self, name: str, parameters: str = "") -> str:
        """A command over the control port; returns what it answers."""
        request = {"command": name, "params": parameters, "token": "test"}
        data = json.dumps(request).encode()
        with in_network(
            self.machine, lambda: socket.create_connection(("127.0.0.1", 4444), 10)
        ) as one:
            one.settimeout(10)
            one.sendall(b"%d:%s," % (len(data), data))
            return _response(one)

    def say(self, hz: float) -> None:
        """Play this tone into the next call, and keep what is heard in a new file."""
        self.command("ausrc", f"aufile,{self._source(hz)}")

    def call(self, uri: str) -> None:
        """Call somebody."""
        self.command("dial", uri)

    def answer(self) -> None:
        """Take the call that rings."""
        self.command("accept")

    def hang_up(self) -> None:
        """End the call."""
        self.command("hangup")

    def hold(self) -> None:
        """Hold the call."""
        self.command("hold")

    def resume(self) -> None:
        """Go on with the call; what is heard from then on is not recorded (aufilt of baresip 1.0)."""
        self.command("resume")

    def send_key(self, key: str) -> None:
        """Press a key during a call."""
        self.command("sndcode", key)

    def heard_keys(self) -> str:
        """The keys that the other side has pressed so far, in all calls."""
        return "".join(re.findall(r"received event: '(.)' \(end=1\)", self.log()[self._began :]))

    def send_text(self, uri: str, text: str) -> None:
        """Send a message of one line to somebody who is in its contacts."""
        for _ in range(100):
            if f"<{uri}>" in self.command("contact_next"):
                self.command("message", text)
                return
        raise AssertionError(f"{uri} is no contact: {self.command('contacts')}")

    def recording(self) -> Path:
        """What it heard during the last call, as the test sees it."""
        return max((self.root / "heard").glob("dump-*-dec.wav"))


def _response(connection: socket.socket) -> str:
    """The answer among the events that come in between."""
    data, end = b"", time.monotonic() + 10
    while time.monotonic() < end:
        size, colon, rest = data.partition(b":")
        if not colon or len(rest) <= int(size):
            data += connection.recv(65536)
            continue
        message, data = json.loads(rest[: int(size)]), rest[int(size) + 1 :]
        if message.get("response"):
            assert message["ok"], message
            return str(message["data"])
    raise AssertionError("baresip does not answer")
