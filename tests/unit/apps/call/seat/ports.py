"""Port ranges that tests running at the same time do not share."""

from __future__ import annotations

import os

_EACH = 100


def port_range(first: int, count: int) -> range:
    """`count` ports from `first` on, moved by the number of the process that runs the test."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    start = first + worker * _EACH
    return range(start, start + count)
