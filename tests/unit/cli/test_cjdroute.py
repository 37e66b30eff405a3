"""The program cjdroute keeps the habits scripts rely on; engine and daemon are stand-ins here."""

from __future__ import annotations

import io
import json
import os
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from dexmesh import __version__
from dexmesh.cli import cjdroute
from dexmesh.config.settings import AdminSettings, Settings
from dexmesh.errors import HostError
from tests.unit.config.samples import config, derive, load


@dataclass
class RunOptions:
    foreground: bool = True
    panel: bool = False
    ready: Callable[[], None] | None = None


@dataclass
class FakeDaemon:
    """Stands in for host/daemon.py: remembers what it was asked, ends as told."""

    code: int = 0
    failure: Exception | None = None
    runs: list[tuple[Settings, RunOptions]] = field(default_factory=list)

    def run(self, settings: Settings, options: RunOptions) -> int:
        self.runs.append((settings, options))
        if self.failure:
            raise self.failure
        return self.code


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> FakeDaemon:
    fake = FakeDaemon()
    keys, host = ModuleType("dexmesh.engine.keys"), ModuleType("dexmesh.host.daemon")
    keys.__dict__["public_key_of"] = derive
    host.__dict__.update(run=fake.run, RunOptions=RunOptions)
    monkeypatch.setitem(sys.modules, "dexmesh.engine.keys", keys)
    monkeypatch.setitem(sys.modules, "dexmesh.host.daemon", host)
    return fake


@pytest.fixture
def feed(monkeypatch: pytest.MonkeyPatch) -> Callable[[str | bytes], None]:
    def put(data: str | bytes) -> None:
        raw = data.encode() if isinstance(data, str) else data
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))

    return put


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def startable(**changes: Any) -> str:
    admin = {"bind": f"127.0.0.1:{free_port()}", "password": "NONE"}
    return json.dumps(config(**({"admin": admin} | changes)))


# Words


def test_version_is_two_lines_that_scripts_can_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert cjdroute.main(["--version"]) == 0
    assert capsys.readouterr().out == (
        f"Cjdns version: cjdns-v20.7-dexmesh-{__version__}\nCjdns protocol version: 20\n"
    )


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_goes_to_standard_output(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cjdroute.main([option]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith("Cjdns ")
    assert first.endswith(" linux")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--banana"], "unrecognized option '--banana'"),
        (["banana"], "unrecognized option 'banana'"),
        (["--genconf-eth"], "unrecognized option '--genconf-eth'"),
        (["--eth"], "unrecognized option '--eth'"),
        (["--genconf", "--no-eth"], "unrecognized option '--no-eth'"),
        (["--genconf", "--eth", "x"], "unrecognized option 'x'"),
        (["--genconf", "--eth", "--eth"], "unrecognized option '--genconf'"),
        (["--nobg", "--banana"], "too many arguments [--nobg]"),
        (["--pidfile", "/x"], "too many arguments [--pidfile]"),
        (["core", "/tmp/pipe"], "too many arguments [core]"),
    ],
)
def test_unknown_arguments_end_with_255_and_the_words_of_the_original(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cjdroute.main(arguments) == 255
    out, err = capsys.readouterr()
    assert out == ""
    assert f"cjdroute: {said}\n" in err
    assert err.endswith("Try `cjdroute --help' for more information.\n")


def test_pidfile_is_said_to_be_deprecated(capsys: pytest.CaptureFixture[str]) -> None:
    assert cjdroute.main(["--pidfile"]) == 255
    assert "deprecated" in capsys.readouterr().err


# Configurations


def test_genconf_prints_a_configuration_and_nothing_else(
    daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cjdroute.main(["--genconf"]) == 0
    first, err = capsys.readouterr()
    assert cjdroute.main(["--genconf", "--eth"]) == 0
    second = capsys.readouterr().out
    assert err == ""
    assert load(first).settings.private_key != load(second).settings.private_key
    assert len(load(second).settings.ether_interfaces) == 1


def test_genconf_lets_two_new_nodes_on_one_cable_find_each_other(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cjdroute.main(["--genconf"]) == 0
    loaded = load(capsys.readouterr().out)
    assert loaded.warnings == ()
    four, six = loaded.settings.udp_interfaces
    assert (four.beacon, four.beacon_devices, four.beacon_port) == (2, ("all",), 64512)
    assert six.beacon == 0


def test_genconf_seed_always_gives_the_same(
    daemon: FakeDaemon, feed: Callable[[bytes], None], capsys: pytest.CaptureFixture[str]
) -> None:
    made = []
    for seed in (b"s" * 64, b"s" * 64 + b"more", b"t" * 64):
        feed(seed)
        assert cjdroute.main(["--genconf-seed"]) == 0
        made.append(capsys.readouterr().out)
    assert made[0] == made[1] != made[2]
    feed(b"s" * 63)
    assert cjdroute.main(["--genconf-seed"]) == 1
    assert "64 bytes" in capsys.readouterr().err


def test_cleanconf_prints_the_strict_form_and_warns_beside_it(
    feed: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    feed('{"a": 1, /* x */ "b": "~",}')
    assert cjdroute.main(["--cleanconf"]) == 0
    out, err = capsys.readouterr()
    assert out == '{\n  "a" : 1,\n  "b" : "\\x7E",\n  "version" : 2\n}\n'
    assert "warning: standard input:1:1: " in err


def test_cleanconf_of_a_broken_file_ends_with_255_and_prints_no_configuration(
    feed: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    feed('{"version": 2,\n"a": null}')
    assert cjdroute.main(["--cleanconf"]) == 255
    out, err = capsys.readouterr()
    assert out == ""
    assert "Failed to parse configuration." in err
    assert "standard input:2:6: null" in err


# Running


def test_a_terminal_on_standard_input_gets_the_usage(
    daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    primary, secondary = os.openpty()
    with os.fdopen(primary, "rb", buffering=0), os.fdopen(secondary, "r") as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        assert cjdroute.main([]) == 0
    assert "--genconf" in capsys.readouterr().out
    assert daemon.runs == []


@pytest.mark.parametrize(("arguments", "changes"), [(["--nobg"], {}), ([], {"noBackground": 1})])
def test_in_the_foreground_the_exit_code_is_that_of_the_daemon(
    arguments: list[str],
    changes: dict[str, Any],
    daemon: FakeDaemon,
    feed: Callable[[str], None],
) -> None:
    daemon.code = 7
    text = startable(**changes)
    feed(text)
    assert cjdroute.main(arguments) == 7
    ((settings, options),) = daemon.runs
    assert settings == load(text).settings
    assert options.foreground


def test_every_mistake_is_printed_and_nothing_is_started(
    daemon: FakeDaemon, feed: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    feed('{"privateKey": "hush-hush",\n"noBackground": "x",\n"version": 2}')
    assert cjdroute.main(["--nobg"]) == 1
    err = capsys.readouterr().err
    assert "standard input:1:16: privateKey is not 64 hex digits" in err
    assert "standard input:2:17: noBackground must be a whole number" in err
    assert "there is no admin section" in err
    assert "hush" not in err
    assert daemon.runs == []


def test_a_failing_host_is_reported_with_its_hint(
    daemon: FakeDaemon, feed: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.failure = HostError("no TUN here", "load the module")
    feed(startable())
    assert cjdroute.main(["--nobg"]) == 1
    assert capsys.readouterr().err.endswith("no TUN here\nload the module\n")


def test_far_too_much_input_is_refused(
    daemon: FakeDaemon, feed: Callable[[bytes], None], capsys: pytest.CaptureFixture[str]
) -> None:
    feed(b" " * (9 << 20))
    assert cjdroute.main(["--nobg"]) == 1
    assert "longer than" in capsys.readouterr().err


@pytest.fixture
def admin_port() -> Iterator[AdminSettings]:
    """Something that answers every datagram with a pong."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))

        def answer() -> None:
            data, sender = server.recvfrom(2048)
            assert data == b"d1:q4:pinge"
            server.sendto(b"junk", sender)
            server.sendto(b"d1:q4:ponge", sender)

        thread = threading.Thread(target=answer)
        thread.start()
        yield AdminSettings("127.0.0.1", server.getsockname()[1])
        thread.join(timeout=5)


def test_a_node_that_runs_already_is_left_alone(
    daemon: FakeDaemon,
    admin_port: AdminSettings,
    feed: Callable[[str], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    feed(startable(admin={"bind": f"127.0.0.1:{admin_port.port}", "password": "other"}))
    assert cjdroute.main([]) == 1
    assert "Startup failed: cjdroute is already running. [0]" in capsys.readouterr().err
    assert daemon.runs == []


# In the background: a process of its own, because it forks


PROGRAM = """
import sys, time
from types import ModuleType
from tests.unit.cli.test_cjdroute import RunOptions
from tests.unit.config.samples import derive
from dexmesh.cli import background, cjdroute
from dexmesh.errors import HostError

def run(settings, options):
    import os
    {act}

keys, host = ModuleType("dexmesh.engine.keys"), ModuleType("dexmesh.host.daemon")
keys.public_key_of, host.run, host.RunOptions = derive, run, RunOptions
sys.modules["dexmesh.engine.keys"], sys.modules["dexmesh.host.daemon"] = keys, host
background.run_in_background.__kwdefaults__["timeout_s"] = {timeout}
sys.exit(cjdroute.main([]))
"""


def start(act: str, timeout: float = 20.0) -> subprocess.CompletedProcess[str]:
    """Run cjdroute in the background with a daemon that does this."""
    root = Path(__file__).parents[3]
    return subprocess.run(
        [sys.executable, "-c", PROGRAM.format(act=act, timeout=timeout)],
        input=startable(),
        capture_output=True,
        text=True,
        cwd=root,
        env=os.environ | {"PYTHONPATH": f"{root / 'src'}:{root}"},
        timeout=60,
        check=False,
    )


def test_the_parent_ends_well_once_the_daemon_is_ready_and_the_daemon_lives_on(
    tmp_path: Path,
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    done = start(
        "print('starting', flush=True); options.ready(); print('unseen', flush=True);"
        f"open({str(pipe)!r}, 'w').write(f'{{os.getsid(0) == os.getpid()}} {{os.getppid()}}')"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "starting\n", "")
    is_session_leader, _, parent = pipe.read_text().partition(" ")
    assert is_session_leader == "False"
    assert int(parent) != os.getpid()


def test_the_parent_fails_with_the_code_and_words_of_a_daemon_that_cannot_start() -> None:
    done = start("print('no way', file=sys.stderr); return 3")
    assert (done.returncode, done.stderr) == (3, "no way\n")


def test_the_parent_prints_why_the_daemon_could_not_start() -> None:
    done = start("raise HostError('no TUN here', 'load the module')")
    assert (done.returncode, done.stderr) == (1, "no TUN here\nload the module\n")


@pytest.mark.parametrize(
    "act", ["os._exit(0)", "os.kill(os.getpid(), 9)", "return 0", "sys.exit(0)"]
)
def test_an_end_before_ready_is_never_a_success(act: str) -> None:
    assert start(act).returncode == 1


def test_a_daemon_that_never_gets_ready_is_ended(tmp_path: Path) -> None:
    witness = tmp_path / "pipe"
    os.mkfifo(witness)
    reading = os.open(witness, os.O_RDONLY | os.O_NONBLOCK)
    try:
        done = start(f"held = open({str(witness)!r}, 'w'); time.sleep(600)", timeout=1.0)
        assert done.returncode == 1
        assert "not ready" in done.stderr
        assert select.select([reading], [], [], 10.0)[0], "the daemon still holds the pipe"
        assert os.read(reading, 1) == b""
    finally:
        os.close(reading)
