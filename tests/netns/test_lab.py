"""The small machines themselves: nothing of them outlives whoever made them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dexmesh.cli.lab import wait_until

pytestmark = pytest.mark.netns

MAKER = """
import sys
from dexmesh.cli.lab import Lab
lab = Lab("dexmesh-test")
print(lab.machine("m").pid, lab.folder, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_machine_dies_with_its_maker_even_if_that_is_killed(number: signal.Signals) -> None:
    if os.geteuid() != 0:
        pytest.fail("needs root or a user namespace: run `make test`, which finds a way")
    with subprocess.Popen(
        [sys.executable, "-c", MAKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as maker:
        assert maker.stdout is not None
        pid, folder = maker.stdout.readline().split()
        inside = Path(f"/proc/{pid}/ns/net")
        assert inside.exists()
        maker.send_signal(number)
        maker.wait(10)
        wait_until(lambda: not inside.exists(), 10, "the machine to end")
    subprocess.run(["rm", "-rf", folder], check=True)
