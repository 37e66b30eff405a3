"""Three streams of tests: machines that measure time, machines that only wait, and all that has none."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.scheduler import Scheduling

MACHINES = ("tests/netns/", "tests/interop/")

# Machines whose limits are there to end a test that hangs, and measure nothing.
PATIENT = (
    "tests/interop/test_admin_clients.py",
    "tests/netns/test_contacts.py",
    "tests/netns/test_mail_article.py",
    "tests/netns/test_mail_crash.py",
    "tests/netns/test_mail_disk_full.py",
    "tests/netns/test_mail_opensmtpd.py",
    "tests/netns/test_mail_programs.py",
    "tests/netns/test_mail_reading.py",
    "tests/netns/test_mail_service.py",
    "tests/netns/test_ten_machines.py",
)

# What counts for the gate of coverage (tools/coverage_gate.py): the tests of wire/ and mesh/ themselves.
# Tracing makes Python three times as slow, so nothing else is traced.
TRACED = ("tests/unit/wire/", "tests/unit/mesh/", "tests/property/test_wire_")

STREAMS = ("machines", "patient machines")  # the longest begin first
STEP_BACK = 5  # of `nice`, for whoever measures nothing


def stream_of(nodeid: str) -> str:
    """Tests of one stream run one after another, in one process of pytest-xdist."""
    file = nodeid.partition("::")[0]
    if not file.startswith(MACHINES):
        return file
    return STREAMS[file in PATIENT]


def _turn(item: pytest.Item) -> int:
    stream = stream_of(item.nodeid)
    return STREAMS.index(stream) if stream in STREAMS else len(STREAMS)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where streams run side by side, the long ones are first in the queue."""
    for item in items:
        if not item.nodeid.startswith(TRACED):
            item.add_marker(pytest.mark.no_cover)
    if _is_one_of_several():
        items.sort(key=_turn)


def pytest_runtest_logstart(nodeid: str) -> None:
    """The others leave the processor to the machines that measure time."""
    if _is_one_of_several():
        with contextlib.suppress(PermissionError):  # only root comes forward again
            niceness = 0 if stream_of(nodeid) == STREAMS[0] else STEP_BACK
            os.setpriority(os.PRIO_PROCESS, 0, niceness)


def _is_one_of_several() -> bool:
    return "PYTEST_XDIST_WORKER" in os.environ


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling | None:
    """Machines that measure time never run beside others of their kind."""
    from xdist.scheduler import LoadScopeScheduling

    if config.getvalue("dist") != "loadscope":
        return None

    class Streams(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return stream_of(nodeid)

    config.option.loadscopereorder = False  # as we sorted them
    made: Scheduling = Streams(config, log)
    return made
