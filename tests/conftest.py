"""Two streams of tests: machines in namespaces wait more than they work, the others fill the gaps."""

from __future__ import annotations

import pytest

MACHINES = ("tests/netns/", "tests/interop/")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep tests that build machines one after another on one worker of pytest-xdist."""
    for item in items:
        if item.nodeid.startswith(MACHINES):
            item.add_marker(pytest.mark.xdist_group("machines"))
