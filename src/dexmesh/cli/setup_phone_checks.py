"""Let a phone read the configuration that was made for it, and listen to what it says.

Place     cli/setup_phones.py -> here
Spec      docs/apps/sip.md §2; nft(8) -c
Keeps     in a folder of its own, on loopback and a free port: no call comes in, none goes out, no file
          of the user is touched; each program gets ten seconds
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dexmesh.cli import setup_checks
from dexmesh.cli.setup_checks import Check, find_program

if TYPE_CHECKING:
    from dexmesh.apps.base.programs import Configuration

_COMPLAINT = re.compile(r".*(?:parser error|Bad contact|Cannot create friend).*")
_RED = re.compile(r"\x1b\[31m(.*?)(?:\n|\x1b)", re.DOTALL)
_MOST_SAID = 2000


def check_linphone(text: str) -> Check:
    """linphonec reads the file, lists its friends and ends."""
    by = "linphonec -c FILE"
    apart = re.sub(r"(?m)^sip_port=.*$", "sip_port=-1", text)
    apart = re.sub(r"(?m)^bind_address=.*$", "bind_address=::1", apart)
    said = _say(by, {"linphonerc": apart}, ["linphonec", "-c", "linphonerc"], "friend list\nquit\n")
    if isinstance(said, Check):
        return said
    complaints = _COMPLAINT.findall(said)
    wanted, found = len(re.findall(r"(?m)^\[friend_\d+\]$", text)), said.count("****** Friend ")
    if wanted != found:
        complaints.append(f"of {wanted} contacts it takes {found}")
    return Check(by, not complaints, "\n".join(complaints)[:_MOST_SAID])


def check_baresip(parts: Sequence[Configuration]) -> Check:
    """baresip starts with the files, counts what is in them and ends after a second."""
    by = "baresip -f FOLDER -t 1"
    files = {Path(part.path).name: part.text for part in parts}
    contacts = _count(files["contacts"])
    apart = re.sub(r"(?m)^sip_listen .*$", "sip_listen 127.0.0.1:0", files["config"])
    files["config"] = re.sub(r"(?m)^net_interface .*$", "", apart)
    said = _say(by, files, ["baresip", "-f", ".", "-t", "1"], "")
    if isinstance(said, Check):
        return said
    complaints = [one.strip() for one in _RED.findall(said)]
    for what, count in (("account", 1), ("contact", contacts)):
        found = re.search(rf"Populated (\d+) {what}", said)
        if found is None or int(found[1]) != count:
            complaints.append(f"of {count} {what}s it takes {found[1] if found else 'none'}")
    return Check(by, not complaints, "\n".join(complaints)[:_MOST_SAID])


def check_nft(text: str) -> Check:
    """`nft -c`, which only root may ask."""
    if os.geteuid() != 0:
        return Check("nft -c -f FILE", None, "only root may ask nft: nobody checked it")
    return setup_checks.check_file(["nft", "-c", "-f"], text)


def _count(text: str) -> int:
    return sum(bool(line) and not line.startswith("#") for line in text.splitlines())


def _say(by: str, files: dict[str, str], argv: Sequence[str], stdin: str) -> str | Check:
    """Everything a program says while it reads these files and these keys; a Check if it cannot run."""
    program = find_program(argv[0])
    if program is None:
        return Check(by, None, f"{argv[0]} is not installed: nobody checked it")
    with tempfile.TemporaryDirectory(prefix="dexmesh-") as folder:
        for name, text in files.items():
            Path(folder, name).write_text(text, encoding="utf-8")
        Path(folder, ".local/share/linphone").mkdir(parents=True)
        env = {**os.environ, "HOME": folder, "XDG_CONFIG_HOME": folder, "LC_ALL": "C.UTF-8"}
        try:
            done = subprocess.run(
                [program, *argv[1:]],
                input=stdin.encode(),
                capture_output=True,
                timeout=setup_checks.LIMIT_S,
                check=False,
                cwd=folder,
                env=env,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return Check(by, None, f"{argv[0]} could not check it: {error}")
    said = (done.stdout + done.stderr).decode(errors="replace")
    if done.returncode != 0:
        return Check(by, False, (said.strip() or f"exit code {done.returncode}")[-_MOST_SAID:])
    return said
