"""Two streams of tests: machines in namespaces wait more than they work, the others fill the gaps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.scheduler import Scheduling

MACHINES = ("tests/netns/", "tests/interop/")


def stream_of(nodeid: str) -> str:
    """Tests of one stream run one after another, in one process of pytest-xdist."""
    return "machines" if nodeid.startswith(MACHINES) else nodeid.partition("::")[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling | None:
    """Machines never run beside machines: two of them at once measure each other."""
    from xdist.scheduler import LoadScopeScheduling

    if config.getvalue("dist") != "loadscope":
        return None

    class Streams(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return stream_of(nodeid)

    config.option.loadscopereorder = False  # in the order of the folders, the machines early
    made: Scheduling = Streams(config, log)
    return made
