"""Let a program judge the configuration that was made for it, with its own checker.

Place     cli/setup.py -> here
Spec      docs/apps/mail.md §3; smtpd(8) -n, s-nail(1) -#, mutt(1) -D
Keeps     no mail is read or sent, no server is asked; each program gets ten seconds
Not here  programs that have no checker: that is said instead
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dexmesh.values import dataclass

if TYPE_CHECKING:
    from dexmesh.apps.mail.programs.mailrc import Flavour

LIMIT_S = 10
_MOST_SAID = 2000
SYSTEM_PATHS = "/usr/local/sbin:/usr/sbin:/sbin"  # where servers are, which users do not search


@dataclass(frozen=True, slots=True)
class Check:
    """The judgement: by whom, whether it is sound (None: nobody can tell), and what was said."""

    by: str
    is_ok: bool | None
    said: str

    def __str__(self) -> str:
        if self.is_ok is None:
            return self.said
        verdict = "is content" if self.is_ok else "refuses it"
        return f"`{self.by}` {verdict}" + (f": {self.said}" if self.said else "")


def find_program(name: str) -> str | None:
    """The full path of a program, also of those only root runs."""
    return shutil.which(name) or shutil.which(name, path=SYSTEM_PATHS)


def check_opensmtpd(text: str) -> Check:
    """`smtpd -n`."""
    return _judge("smtpd -n -f FILE", ["smtpd", "-n", "-f"], text, is_silence_needed=False)


def check_mailx(text: str, flavour: Flavour) -> Check:
    """s-nail reads the file and leaves; bsd-mailx too, for an empty mail that it must not send."""
    if flavour.value == "s-nail":
        return _judge(
            "s-nail -:u -# -X exit", ["s-nail", "-:u", "-#", "-X", "exit"], text, "MAILRC"
        )
    argv = ["bsd-mailx", "-n", "-E", "-s", "check", "nobody"]
    return _judge("bsd-mailx -n -E", argv, text, "MAILRC")


def check_mutt(text: str, name: str) -> Check:
    """mutt reads the file and prints what it understood."""
    return _judge(f"{name} -nF FILE -D", [name, "-n", "-D", "-F"], text)


def check_file(argv: Sequence[str], text: str) -> Check:
    """Any checker that takes the file as its last argument and says by its exit code what it thinks."""
    return _judge(f"{' '.join(argv)} FILE", argv, text, is_silence_needed=False)


def no_checker(name: str) -> Check:
    """There is none."""
    return Check("", None, f"{name} has no checker of its own")


def _judge(
    by: str,
    argv: Sequence[str],
    text: str,
    variable: str | None = None,
    *,
    is_silence_needed: bool = True,
) -> Check:
    """Run a checker on the text: named as the last argument, or by an environment variable."""
    program = find_program(argv[0])
    if program is None:
        return Check(by, None, f"{argv[0]} is not installed: nobody checked it")
    with tempfile.TemporaryDirectory(prefix="dexmesh-") as folder:
        file = Path(folder) / "configuration"
        file.write_text(text, encoding="utf-8")
        named = [] if variable else [str(file)]
        env = {**os.environ, "HOME": folder, "LC_ALL": "C.UTF-8"}
        env |= {variable: str(file)} if variable else {}
        try:
            done = subprocess.run(
                [program, *argv[1:], *named],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=LIMIT_S,
                check=False,
                env=env,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return Check(by, None, f"{argv[0]} could not check it: {error}")
    said = done.stderr.decode(errors="replace").strip().replace(str(file), "FILE")[:_MOST_SAID]
    is_ok = done.returncode == 0 and not (is_silence_needed and said)
    return Check(by, is_ok, said)
