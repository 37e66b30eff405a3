"""The mail service of a real node: started every way there is, killed, moved, switched off.

a (node, mail for stuart) ---- b (node, writes to him)
"""

from __future__ import annotations

import ipaddress
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dexmesh.cli.lab import USER, USER_ID, Machine, wait_until
from dexmesh.cli.output import Exit
from tests.netns.conftest import RunningNode, World

pytestmark = pytest.mark.netns

LIMIT_S = 20.0
DEXMESH = [sys.executable, "-m", "dexmesh"]
# Python may lie where only root can read (as it does for the worker, which must not mind).
AS = [
    "setpriv",
    "--clear-groups",
    *("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"),
]
AS_STUART = [*AS, f"--reuid={USER_ID}", f"--regid={USER_ID}"]
AS_NOBODY = [*AS, "--reuid=65534", "--regid=65534"]

_SEND = """
import smtplib, sys
to, sender, rcpt = sys.argv[1:]
with smtplib.SMTP(to, 25, local_hostname=sender.split("@")[1], timeout=20) as smtp:
    smtp.sendmail(sender, [rcpt], f"From: {sender}\\r\\nTo: {rcpt}\\r\\nSubject: hi\\r\\n\\r\\nhello\\r\\n")
"""

_SUBMIT = """
import smtplib, sys
with smtplib.SMTP("localhost", 587, local_hostname="x", timeout=20) as smtp:
    smtp.sendmail("stuart@localhost", [sys.argv[1]], "Subject: hi\\r\\n\\r\\nhello\\r\\n")
"""


@dataclass(slots=True)
class Mail:
    """The mail service of a node in a machine."""

    node: RunningNode
    home: Path

    @property
    def machine(self) -> Machine:
        return self.node.machine

    @property
    def env(self) -> dict[str, str]:
        return {"DEXMESH_HOME": str(self.home)}

    def run(self, *arguments: str, as_user: bool = False) -> subprocess.CompletedProcess[str]:
        """`dexmesh mail ...` in the machine."""
        prefix = AS_STUART if as_user else []
        argv = [*prefix, *DEXMESH, "mail", *arguments]
        return self.machine.run(argv, check=False, env=self.env)

    def switch_on(self, *more: str) -> None:
        done = self.run("on", "--account", USER, "--config", str(self.node.config), *more)
        assert done.returncode == 0, done.stderr

    def serve(self) -> subprocess.Popen[bytes]:
        argv = [*DEXMESH, "mail", "serve", "--config", str(self.node.config)]
        return self.machine.start(argv, log="mail.log", env=self.env)

    def wait_up(self) -> dict[str, Any]:
        """Its status, once it has one."""
        try:
            wait_until(lambda: self.status() is not None, LIMIT_S, "the mail service")
        except Exception as error:
            raise AssertionError(self.machine.log("mail.log")) from error
        found = self.status()
        assert found is not None
        return found

    def status(self) -> dict[str, Any] | None:
        done = self.run("status", "--json")
        told: dict[str, Any] = json.loads(done.stdout)
        assert told["running"] is (done.returncode == 0)
        return told if told["running"] else None

    def processes(self) -> dict[int, int]:
        """The processes of the service: pid and uid, in the order of pids."""
        said = self.machine.run(["ps", "-eo", "pid=,uid=,args="]).stdout
        rows = (line.split(None, 2) for line in said.splitlines())
        return {int(pid): int(uid) for pid, uid, args in rows if "dexmesh mail serve" in args}

    def worker(self) -> int:
        """The process that serves."""
        wait_until(lambda: USER_ID in self.processes().values(), LIMIT_S, "a worker")
        return next(pid for pid, uid in self.processes().items() if uid == USER_ID)

    def greeting(self) -> str:
        """What port 25 on loopback says."""
        code = "import smtplib; s = smtplib.SMTP('localhost', 25, 'x', 20); print(s.noop()[0])"
        return self.machine.run([sys.executable, "-c", code]).stdout.strip()

    def mails(self, folder: str = "") -> list[Path]:
        """What is in a folder of stuart's, on the disk."""
        box = self.home / "mail" / "users" / USER / "Maildir" / folder
        return [path for part in ("new", "cur") for path in (box / part).glob("*")]


def _mail(node: RunningNode) -> Mail:
    return Mail(node, node.machine.folder / "home")


def _send(sender: RunningNode, receiver: RunningNode, rcpt: str) -> None:
    argv = [sys.executable, "-c", _SEND, receiver.address, f"bob@[IPv6:{sender.address}]", rcpt]
    sender.machine.run(argv)


def test_it_starts_before_the_tun_and_a_killed_worker_loses_nothing(world: World) -> None:
    a, b = world.node("a"), world.node("b")
    world.join(b, a)
    mail = _mail(a)
    mail.switch_on()
    service = mail.serve()
    told = mail.wait_up()
    assert told["users"] == [USER]
    assert {"where": f"[{_short(a.address)}]:25", "purpose": "mail from the mesh"} in told[
        "listening"
    ]
    a.start()
    b.start()
    wait_until(lambda: b.reaches(a), 30, "b to reach a")
    for spelling in (f"[IPv6:{a.address}]", a.key, "[IPv6:" + _short(a.address).upper() + "]"):
        _send(b, a, f"{USER}@{spelling}")
        _kill(mail)
    assert len(mail.mails(".Requests")) == 3  # bob is a stranger
    assert mail.mails() == []
    assert service.poll() is None
    log = mail.machine.log("mail.log")
    assert log.count("the worker ended by itself") == 3
    assert a.address not in log.lower().replace(_short(a.address), a.address)
    assert b.address not in log


def _short(address: str) -> str:
    return str(ipaddress.IPv6Address(address))


def _kill(mail: Mail) -> None:
    """Kill the worker; port 25 takes connections all the while."""
    worker = mail.worker()
    mail.machine.run(["kill", "-KILL", str(worker)])
    assert mail.greeting() == "250"
    assert mail.worker() != worker


def test_a_mail_goes_from_a_program_here_to_a_person_there(world: World) -> None:
    a, b = world.node("a"), world.node("b")
    world.join(b, a)
    mails = [_mail(a), _mail(b)]
    for node, mail in zip((a, b), mails, strict=True):
        mail.switch_on()
        node.start(mail.env)
        mail.wait_up()
    wait_until(lambda: b.reaches(a), 30, "b to reach a")
    a.machine.run([sys.executable, "-c", _SUBMIT, f"{USER}@{b.key}"])
    wait_until(lambda: len(mails[1].mails(".Requests")) == 1, LIMIT_S, "the mail to arrive")
    text = mails[1].mails(".Requests")[0].read_text()
    assert f"From: {USER}@[IPv6:{_short(a.address)}]" in text
    assert "x-mesh=pass" in text
    assert (mails[0].status() or {})["waiting"]["mails"] == 0


def test_the_worker_is_the_account_and_nothing_more(world: World) -> None:
    mail = _mail(world.node("a"))
    mail.switch_on()
    mail.serve()
    mail.wait_up()
    wait_until(lambda: len(mail.processes()) == 2, LIMIT_S, "two processes")
    assert sorted(mail.processes().values()) == [0, USER_ID]
    status = mail.machine.run(["cat", f"/proc/{mail.worker()}/status"]).stdout
    facts = {
        name: value.split()
        for name, _, value in (one.partition(":") for one in status.splitlines())
    }
    assert facts["Uid"] == facts["Gid"] == [str(USER_ID)] * 4
    assert facts["Groups"] == []
    assert {int(facts[name][0], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {0}
    assert facts["NoNewPrivs"] == ["1"]
    supervisor = next(pid for pid, uid in mail.processes().items() if uid == 0)
    rss_kib = mail.machine.run(["ps", "-o", "rss=", "-p", str(supervisor)]).stdout
    assert int(rss_kib) < 40_000
    homes = mail.machine.run(["find", str(mail.home), "-perm", "/077", "-not", "-type", "l"]).stdout
    assert set(homes.split()) == {
        str(mail.home),
        f"{mail.home}/apps.toml",
        f"{mail.home}/control.sock",
    }


def test_everybody_here_may_ask_but_only_the_owner_may_command(world: World) -> None:
    mail = _mail(world.node("a"))
    mail.switch_on()
    mail.serve()
    mail.wait_up()
    assert json.loads(mail.run("status", "--json", as_user=True).stdout)["running"]
    made = mail.run("password", "--json", as_user=True)
    assert json.loads(made.stdout)["user"] == USER
    nobody = [*AS_NOBODY, *DEXMESH, "mail"]
    for argv in (["password"], ["list"], ["off"]):
        done = mail.machine.run([*nobody, *argv], check=False, env=mail.env)
        assert done.returncode == Exit.PERMISSION, (argv, done.stderr)
        assert done.stderr.count("\n") <= 2


def test_users_come_and_go_while_it_runs(world: World) -> None:
    mail = _mail(world.node("a"))
    mail.switch_on()
    service = mail.serve()
    mail.wait_up()
    assert mail.run("user", "add", "bob", "--account", USER).returncode == 0
    wait_until(lambda: (mail.status() or {}).get("users") == [USER, "bob"], LIMIT_S, "bob")
    added = mail.run("user", "add", "eve", "--account", USER, "--mbox", "/var/mail/eve")
    assert added.returncode == 0, added.stderr
    wait_until(lambda: len((mail.status() or {"users": ()})["users"]) == 3, LIMIT_S, "eve")
    groups = mail.machine.run(["ps", "-o", "supgrp=", "-p", str(mail.worker())]).stdout
    assert groups.strip() == "mail"
    for name in ("bob", "eve"):
        assert mail.run("user", "remove", name).returncode == 0
    wait_until(lambda: (mail.status() or {}).get("users") == [USER], LIMIT_S, "both to be gone")
    assert mail.run("user", "remove", "bob").returncode == Exit.FAILED
    assert service.poll() is None
    assert mail.run("off").returncode == 0
    assert service.wait(LIMIT_S) == 0
    assert mail.run("serve").returncode == Exit.CONFIG
    assert mail.run("status").returncode == Exit.NO_NODE


def test_a_taken_port_is_told_with_its_holder(world: World) -> None:
    mail = _mail(world.node("a"))
    mail.switch_on()
    holder = "import socket, time; s = socket.create_server(('{}', {}), family=socket.{}); time.sleep(99)"
    everywhere = [sys.executable, "-c", holder.format("::", 25, "AF_INET6")]
    process = mail.machine.start(everywhere, log="holder.log")
    done = _until_taken(mail, "]:25 (mail from the mesh) is taken by")
    assert done.returncode == Exit.FAILED
    assert "(process " in done.stderr
    assert "receive_port" in done.stderr
    mail.machine.run(["pkill", "-f", "create_server"], check=False)
    process.wait(LIMIT_S)
    loopback = [sys.executable, "-c", holder.format("127.0.0.1", 25, "AF_INET")]
    mail.machine.start(loopback, log="holder.log")
    wait_until(lambda: _listens(mail.machine, "127.0.0.1:25"), LIMIT_S, "the port to be taken")
    service = mail.serve()
    told = mail.wait_up()
    assert [
        one for one in told["warnings"] if "127.0.0.1:25" in one and "is taken by python" in one
    ]
    assert "127.0.0.1:587" in {one["where"] for one in told["listening"]}
    assert service.poll() is None


def _until_taken(mail: Mail, words: str) -> subprocess.CompletedProcess[str]:
    wait_until(lambda: _listens(mail.machine, "[::]:25"), LIMIT_S, "the port to be taken")
    done = mail.run("serve", "--config", str(mail.node.config))
    assert words in done.stderr
    return done


def _listens(machine: Machine, where: str) -> bool:
    return where in machine.run(["ss", "-Hltn"]).stdout


def test_without_root_it_says_which_right_is_missing_and_runs_where_it_has_it(world: World) -> None:
    node = world.node("a")
    mail = _mail(node)
    mail.machine.run(["chown", USER, str(node.config)])
    mail.machine.run(["chmod", "755", str(mail.machine.folder)])
    mail.home.parent.chmod(0o777)
    config = ["--config", str(node.config)]
    assert mail.run("on", *config, as_user=True).returncode == 0
    refused = mail.run("serve", *config, as_user=True)
    assert refused.returncode == Exit.PERMISSION
    assert "CAP_NET_BIND_SERVICE" in refused.stderr
    mail.machine.run(["sysctl", "-w", "net.ipv4.ip_unprivileged_port_start=25"])
    argv = [*AS_STUART, *DEXMESH, "mail", "serve", *config]
    mail.machine.start(argv, log="mail.log", env=mail.env)
    mail.wait_up()
    assert set(mail.processes().values()) == {USER_ID}
    assert mail.greeting() == "250"


def test_the_node_starts_and_ends_it(world: World) -> None:
    node = world.node("a")
    mail = _mail(node)
    mail.switch_on()
    for signal in ("TERM", "KILL"):
        node.start(mail.env)
        mail.wait_up()
        node.stop(signal)
        wait_until(lambda: not mail.processes(), LIMIT_S, "the service to end")
    mail.run("off")
    node.start(mail.env)
    assert mail.processes() == {}


def test_a_node_that_is_killed_and_started_again_has_mail_again(world: World) -> None:
    node = world.node("a")
    mail = _mail(node)
    mail.switch_on()
    node.start(mail.env)
    mail.wait_up()
    before = mail.worker()
    mail.machine.run(["kill", "-STOP", str(before)])  # the old service does not end at once
    node.stop("KILL")
    node.begin(mail.env)
    mail.machine.run(["kill", "-CONT", str(before)])
    node.wait_online()
    wait_until(lambda: _owners(mail, before) == {0, USER_ID}, LIMIT_S, "the new service")
    mail.wait_up()
    assert mail.greeting() == "250"


def _owners(mail: Mail, before: int) -> set[int]:
    """Who runs the service, once its former worker is gone."""
    found = mail.processes()
    return set() if before in found else set(found.values())


def test_a_node_with_another_key_takes_its_mail_along(world: World) -> None:
    node, other = world.node("a"), world.node("b")
    mail = _mail(node)
    mail.switch_on()
    mail.serve()
    assert mail.wait_up()["key_name"] == node.key
    node.config.write_bytes(other.config.read_bytes())
    mail.switch_on()  # the running service moves over
    wait_until(lambda: (mail.status() or {}).get("key_name") == other.key, LIMIT_S, "the new key")
    found = {one["where"] for one in mail.wait_up()["listening"]}
    assert f"[{_short(other.address)}]:25" in found
    assert not _listens(mail.machine, f"[{_short(node.address)}]:25")


def test_the_supervisor_that_is_killed_takes_the_worker_along_and_the_next_one_starts(
    world: World,
) -> None:
    mail = _mail(world.node("a"))
    mail.switch_on()
    for _ in range(2):
        service = mail.serve()
        mail.wait_up()
        supervisor = next(pid for pid, uid in mail.processes().items() if uid == 0)
        mail.machine.run(["kill", "-KILL", str(supervisor)])
        service.wait(LIMIT_S)
        wait_until(lambda: not mail.processes(), LIMIT_S, "the worker to end")


def test_nobody_can_start_it_for_a_home_that_is_not_his(world: World) -> None:
    mail = _mail(world.node("a"))
    mail.switch_on()
    config = ["--config", str(mail.node.config)]
    serve = [*AS_NOBODY, *DEXMESH, "mail", "serve", *config]
    mail.machine.run(["chown", "65534", str(mail.node.config)])
    mail.machine.run(["sysctl", "-w", "net.ipv4.ip_unprivileged_port_start=25"])
    done = mail.machine.run(serve, check=False, env=mail.env)
    assert done.returncode == Exit.FAILED
    assert "is not yours" in done.stderr
    mail.machine.run(["chown", "65534", str(mail.home)])  # now its owner is not who apps.toml says
    done = mail.run("serve", *config)
    assert done.returncode == Exit.FAILED
    assert "apps.toml says stuart" in done.stderr
