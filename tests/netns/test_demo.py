"""The demonstration that everybody sees first: it runs, measures what it says, and takes its time.

a ----- r ----- b
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dexmesh.cli.demo_call import LEAST_MATCH

pytestmark = pytest.mark.netns

LIMIT_S = 120.0  # issues 4 and 5
RETURN_S = 5.0 + 1.5  # issue 4: a friend's queue goes out 5 s after a sign of life; and the start


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A folder for temporary files that everybody may walk through, as /tmp is."""
    folder = Path(tempfile.mkdtemp(prefix="demo-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_the_demo_works_and_stays_below_its_limit(scratch: Path) -> None:
    if os.geteuid() != 0:
        pytest.fail("needs root or a user namespace: run `make test`, which finds a way")
    done = subprocess.run(
        [sys.executable, "-m", "dexmesh", "demo", "--json"],
        capture_output=True,
        text=True,
        timeout=3 * LIMIT_S,
        check=False,
        env={**os.environ, "TMPDIR": str(scratch)},
    )
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["seconds"] <= LIMIT_S
    assert facts["file_mbit_s"] > 0
    assert 0 < facts["mail_after_return_s"] <= RETURN_S
    assert facts["mail_answer_s"] > 0
    assert facts["text_s"] > 0
    assert facts["call_match"] >= LEAST_MATCH
    assert facts["voicemail_match"] >= LEAST_MATCH
    for said in ("switched off", "dexmesh mail queue", "switched on again", "Hello over the mesh"):
        assert said in done.stderr
    assert not list(scratch.iterdir())
