"""Giving up rights, in a process of its own: what is left is what was asked for."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from dexmesh.errors import HostError
from dexmesh.host.privileges import CAP_NET_ADMIN, find_account

PROGRAM = """
import os, sys
from dexmesh.host.privileges import drop_privileges
drop_privileges(sys.argv[1] or None, sys.argv[2] == "1")
sys.stdout.write(open("/proc/self/status").read())
try:
    os.setuid(0)
    print("Regained: uid")
except PermissionError:
    pass
"""

needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="needs root: there is nothing to give up otherwise"
)


def _dropped(user: str, keep: str) -> dict[str, str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, user, keep], capture_output=True, text=True, check=True
    )
    return dict(line.split(":", 1) for line in done.stdout.splitlines() if ":" in line)


@needs_root
@pytest.mark.parametrize(("keep", "left"), [("1", 1 << CAP_NET_ADMIN), ("0", 0)])
def test_only_net_admin_is_left_and_only_if_asked(keep: str, left: int) -> None:
    status = _dropped("", keep)
    assert int(status["CapEff"], 16) == left
    assert int(status["CapPrm"], 16) == left
    assert int(status["CapInh"], 16) == 0
    assert int(status["CapBnd"], 16) == left
    assert status["NoNewPrivs"].strip() == "1"


@needs_root
@pytest.mark.skipif(bool(os.environ.get("DEXMESH_USERNS")), reason="a user namespace has one user")
def test_the_user_changes_for_good() -> None:
    status = _dropped("nobody", "1")
    account = find_account("nobody")
    assert set(status["Uid"].split()) == {str(account.uid)}
    assert set(status["Gid"].split()) == {str(account.gid)}
    assert status["Groups"].strip() == ""
    assert "Regained" not in status


def test_an_unknown_user_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(HostError, match="no user 'nobody-of-that-name'") as caught:
        find_account("nobody-of-that-name")
    assert "setuser" in caught.value.hint
