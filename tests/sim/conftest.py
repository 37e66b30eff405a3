"""Give each test a world, and draw what happened in it if the test fails."""

from __future__ import annotations

import importlib.util
import random
import re
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from dexmesh.wire.keys import PrivateKey, PublicKey
from tests.sim.model import ModelEngine
from tests.sim.world import DataPlane, EngineMaker, World

FAILURES = Path(__file__).parent / "failures"

_phase_failed = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if call.when == "call":
        item.stash[_phase_failed] = report.failed
    return report


def make_model(_private: PrivateKey, key: PublicKey, source: random.Random) -> DataPlane:
    """A data plane without cryptography."""
    return ModelEngine(key, source)


@pytest.fixture(params=["model", "native"])
def engine_maker(request: pytest.FixtureRequest) -> EngineMaker:
    """The engines a simulation runs on: the model always, the real one where it is built."""
    if request.param == "model":
        return make_model
    if importlib.util.find_spec("dexmesh.engine._native") is None:
        pytest.skip("the Rust engine is not built (make build)")
    from tests.sim.native import make_native

    return make_native


@pytest.fixture
def make_world(
    request: pytest.FixtureRequest, engine_maker: EngineMaker
) -> Iterator[Callable[..., World]]:
    """Worlds of one test, by seed; a failure leaves a sequence diagram of each."""
    worlds: list[World] = []

    def make(seed: int = 1) -> World:
        worlds.append(World(engine_maker, seed))
        return worlds[-1]

    yield make
    if request.node.stash.get(_phase_failed, False):
        for number, world in enumerate(worlds):
            name = re.sub(r"\W+", "-", request.node.name).strip("-")
            path = FAILURES / f"{name}-{number}.txt"
            world.recorder.write(path, [node.name for node in world.nodes])
            print(f"sequence diagram: {path}")


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """One world with seed 1."""
    return make_world()
