"""Run the mail service beside a node: started before the node gives up its rights, ended with it.

Place     cli/up.py -> here -> `dexmesh mail serve`, a process of its own
Spec      docs/apps/mail.md §4 (ours: own unprivileged process)
Keeps     where mail is off this costs one look at the disk; the node runs on whatever becomes of the
          service, and the service never outlives the node, however that ends (a pipe tells it)
Not here  what the service does with it (cli/mail_serve.py)
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from dexmesh.apps.base.home import Home, find_home
from dexmesh.cli.output import note
from dexmesh.errors import DexmeshError

END_S = 10.0  # ours: the service gets to end in order
MAX_READ = 1 << 16


class MailChild:
    """The running service."""

    def __init__(self, process: subprocess.Popen[bytes], lifeline: int) -> None:
        self._process = process
        self._lifeline = lifeline

    def take_lines(self) -> Sequence[str]:
        """What it has said since the last call, where its output is kept for us."""
        if self._process.stdout is None:
            return ()
        with contextlib.suppress(BlockingIOError):
            said = os.read(self._process.stdout.fileno(), MAX_READ)
            return [_without_time(line) for line in said.decode(errors="replace").splitlines()]
        return ()

    def end(self) -> None:
        """Let it end, and wait for that a little."""
        os.close(self._lifeline)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(END_S)
        if self._process.stdout is not None:
            self._process.stdout.close()


def start_mail(config: Path, *, as_json: bool, keeps_output: bool) -> MailChild | None:
    """Start the service of this node if mail is on, else None.

    `keeps_output`: its log is for `take_lines`, not for our standard error.
    """
    home = find_home()
    if not _is_on(home):
        return None
    end, lifeline = os.pipe2(os.O_CLOEXEC)
    command = [
        *(sys.executable, "-m", "dexmesh", "mail", "serve", "--home", str(home.path)),
        *("--config", str(config.absolute()), "--lifeline", str(end)),
        *(["--json"] if as_json else []),
    ]
    environment = {name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"}
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if keeps_output else None,
        stderr=subprocess.STDOUT if keeps_output else None,
        pass_fds=(end,),
        env=environment,
    )
    os.close(end)
    if process.stdout is not None:
        os.set_blocking(process.stdout.fileno(), False)
    return MailChild(process, lifeline)


def _is_on(home: Home) -> bool:
    """Whether mail or the phone is switched on; settings that are of no use are named, and both stay off."""
    try:
        if not home.settings_file.exists():
            return False
    except OSError:  # not ours to look at
        return False
    from dexmesh.apps.base.settings import load_settings

    try:
        return load_settings(home).is_anything_on
    except DexmeshError as error:
        note(f"warning: no mail: {error}")
        return False


def is_running(home: Home) -> bool:
    """Whether a mail service answers in this home."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(0.5)
        probe.connect(str(home.control_socket))
        return True
    return False


def _without_time(line: str) -> str:
    """The line of a log without the seconds at its beginning."""
    first, _, rest = line.partition(" ")
    return rest if first.isdigit() else line
