"""`dexmesh doctor` as a user runs it: one line each, an exit code, and never a long wait."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dexmesh.apps.base.findings import Finding, Level, fine, worth_knowing, wrong
from dexmesh.apps.base.home import Home
from dexmesh.apps.base.settings import (
    AppSettings,
    MailSettings,
    PhoneSettings,
    UserSettings,
    save_settings,
)
from dexmesh.cli import doctor, doctor_node
from dexmesh.cli.doctor import run as run_checks
from dexmesh.wire.address import parse_address
from tests.unit.cli.conftest import Run
from tests.unit.config.samples import node_key

OWN = parse_address("fc68:2ecd:2889:c9f0:eae5:6ba4:583d:a21c")
ROUTE = (
    "fc000000000000000000000000000000 08 00000000000000000000000000000000 00 "
    "00000000000000000000000000000000 00000100 00000001 00000000 00000001 {}\n"
)


def give(monkeypatch: pytest.MonkeyPatch, *findings: Finding) -> None:
    """The checks find this."""
    monkeypatch.setattr(doctor, "gather", lambda _home, _config: [("mail", lambda: iter(findings))])


GOOD = fine("mail.room", "room enough")
NOTE = worth_knowing("mail.on", "mail is off", "switch it on")
BAD = wrong("mail.port", "port 25 is held by smtpd", "stop it")


def test_all_well_is_silent_and_exits_with_0(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, GOOD)
    done = run("doctor")
    assert (done.exit_code, done.stdout) == (0, "")
    assert "ok     room enough" in run("doctor", "--all").stdout


def test_a_note_is_shown_and_is_no_failure(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, NOTE)
    done = run("doctor")
    assert done.exit_code == 0
    assert done.stdout == "note   mail is off -> switch it on\n"


def test_something_wrong_is_one_line_with_what_to_do_and_exit_code_1(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(monkeypatch, GOOD, BAD)
    done = run("doctor")
    assert done.exit_code == 1
    assert done.stdout == "wrong  port 25 is held by smtpd -> stop it\n"
    told = json.loads(run("doctor", "--json").stdout)
    assert told["ok"] is False
    assert [one["level"] for one in told["findings"]] == ["ok", "wrong"]


def test_a_machine_with_nothing_set_up_is_described(
    run: Run, tmp_path: Path, config_file: Path
) -> None:
    begin = time.monotonic()
    done = run("doctor", "--json", "--home", str(tmp_path / "none"), "--config", str(config_file))
    assert time.monotonic() - begin < 20  # nothing hangs
    names = {one["name"] for one in json.loads(done.stdout)["findings"]}
    assert {"node.address", "mail.on"} <= names
    assert not any(name.endswith(".check") for name in names)


def test_settings_that_are_wrong_are_a_line_not_an_end(run: Run, tmp_path: Path) -> None:
    (tmp_path / "apps.toml").write_text("key = 7\n")
    done = run("doctor", "--json", "--home", str(tmp_path))
    found = {one["name"]: one for one in json.loads(done.stdout)["findings"]}
    assert found["mail.settings"]["level"] == "wrong"
    assert "apps.toml:1" in found["mail.settings"]["what"]


def test_a_machine_with_a_phone_is_described_the_phone_last(run: Run, tmp_path: Path) -> None:
    users = MailSettings(users=(UserSettings("stuart"),))
    phone = PhoneSettings(is_on=True, port=1)  # nobody has that port
    save_settings(Home(tmp_path), AppSettings(node_key(1)[1], users, phone=phone))
    done = run("doctor", "--json", "--home", str(tmp_path))
    found = [one["name"] for one in json.loads(done.stdout)["findings"]]
    assert "phone.service" in found
    assert found[-1] == "phone.codec"


def test_no_check_loads_heavy_modules_while_the_clock_runs(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from dexmesh.cli.doctor import gather;"
        f"gather(Path({str(tmp_path)!r}), None);"
        "assert {'dns.message', 'cryptography.x509'} <= sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def broken() -> Iterator[Finding]:
    yield GOOD
    raise RuntimeError("a bug")


def slow() -> Iterator[Finding]:
    time.sleep(5)
    yield GOOD


def test_a_check_that_fails_or_hangs_hides_nobody_and_is_waited_for_briefly() -> None:
    begin = time.monotonic()
    found = run_checks([("mail", broken), ("node", slow), ("names", lambda: iter((NOTE,)))], 0.3)
    assert time.monotonic() - begin < 4.5  # who hangs takes five
    assert [(one.name, one.level) for one in found] == [
        ("node.check", Level.WRONG),
        ("mail.on", Level.NOTE),
        ("mail.room", Level.OK),
        ("mail.check", Level.WRONG),
    ]
    assert "RuntimeError" in found[-1].what


# --- The checks of the node -------------------------------------------------------------------------------


def test_another_device_that_claims_the_mesh_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    routes = tmp_path / "routes"
    routes.write_text(ROUTE.format("tun0") + ROUTE.format("tun7") + "short line\n")
    assert doctor_node.mesh_devices(routes) == {"tun0", "tun7"}
    assert doctor_node.mesh_devices(tmp_path / "none") == set()
    monkeypatch.setattr(doctor_node, "mesh_devices", lambda: {"tun0", "tun7"})
    (finding,) = doctor_node._judge_routes("tun0")
    assert "tun7" in finding.what
    assert list(doctor_node._judge_routes(None)) != []


def test_nodes_are_told_from_other_programs(tmp_path: Path) -> None:
    for pid, words in {
        "1": ["/usr/bin/cjdroute", ""],
        "2": ["/usr/bin/python3", "/usr/bin/dexmesh", "up", ""],
        "3": ["/usr/bin/python3", "-m", "dexmesh", "up", "--plain"],
        "4": ["vi", "cjdroute", "up"],
        "5": ["/usr/bin/dexmesh", "mail", "serve"],
        "6": ["cjdroute", "--genconf"],
        "7": [""],
    }.items():
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "cmdline").write_text("\0".join(words))
    (tmp_path / "8").mkdir()
    assert doctor_node.running_nodes(tmp_path) == {1: "cjdroute", 2: "dexmesh up", 3: "dexmesh up"}


def test_an_address_that_is_nowhere_and_one_that_is_unknown_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(doctor_node, "device_of", lambda _address: None)
    monkeypatch.setattr(doctor_node, "mesh_devices", set)
    (finding,) = doctor_node.check_address(OWN)
    assert finding.level is Level.WRONG
    (unknown,) = doctor_node.check_address(None)
    assert unknown.level is Level.NOTE


@pytest.mark.parametrize(
    ("mtu", "level"), [("1304\n", Level.OK), ("1500\n", Level.NOTE), ("1200\n", Level.WRONG)]
)
def test_the_mtu_is_judged(
    mtu: str, level: Level, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tun0").mkdir()
    (tmp_path / "tun0" / "mtu").write_text(mtu)
    monkeypatch.setattr(doctor_node, "DEVICES", tmp_path)
    (finding,) = doctor_node._judge_mtu("tun0")
    assert finding.level is level
    assert list(doctor_node._judge_mtu("gone")) == []


def test_a_clock_of_before_this_program_is_wrong() -> None:
    assert next(doctor_node.check_clock(lambda: 0.0)).level is Level.WRONG
    assert next(doctor_node.check_clock()).level is Level.OK
