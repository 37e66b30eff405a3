"""The empty world of small machines that the tests beside the original build in."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from dexmesh.cli.lab import Lab
from tests.netns.conftest import World


@pytest.fixture
def world() -> Iterator[World]:
    """An empty world; everything in it is gone after the test."""
    if os.geteuid() != 0:
        pytest.fail("needs root or a user namespace: run `make test`, which finds a way")
    with Lab("dexmesh-interop") as lab:
        yield World(lab)
