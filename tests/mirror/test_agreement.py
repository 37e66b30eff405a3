"""The mirror and the engine must agree, step by step, whatever happens between two nodes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.mirror.players import (
    EnginePlayer,
    HardenedPlayer,
    MakePlayer,
    MirrorPlayer,
    Player,
    Setting,
    Together,
)
from tests.mirror.schedules import Duel
from tests.vectors.cryptoauth_plays import SCENARIOS, play_reference, play_session_layer
from tests.vectors.loading import names

SEEDS = range(200)
STEPS = 200
CALM_SECONDS = 15  # a handshake that leads nowhere is given up after 10


def both(setting: Setting, now_ms: int) -> Player:
    """The mirror draws the randomness, so it goes first."""
    return Together(MirrorPlayer(setting, now_ms), EnginePlayer(setting, now_ms))


def play(seed: int, make_player: MakePlayer) -> Duel:
    duel = Duel(seed, make_player)
    duel.run(STEPS)
    duel.calm_down(CALM_SECONDS)
    return duel


@pytest.mark.parametrize("seed", SEEDS)
def test_mirror_and_engine_do_the_same(seed: int) -> None:
    assert play(seed, both).is_up()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_hardened_engine_and_the_reference_come_together_after_any_mess(seed: int) -> None:
    """Caller and called are one of each, the engine being the caller in every second duel."""

    def one_of_each(setting: Setting, now_ms: int) -> Player:
        if setting.is_caller == (seed % 2 == 0):
            return HardenedPlayer(setting, now_ms)
        return MirrorPlayer(setting, now_ms)

    assert play(seed, one_of_each).is_up()


@pytest.mark.parametrize("seed", SEEDS)
def test_two_hardened_engines_come_together_after_any_mess(seed: int) -> None:
    assert play(seed, HardenedPlayer).is_up()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=names(SCENARIOS, "name"))
def test_mirror_and_engine_show_the_same_after_every_recorded_step(
    scenario: dict[str, Any],
) -> None:
    play_reference(scenario, both)


def test_mirror_and_engine_show_the_same_at_the_end_of_a_path() -> None:
    play_session_layer(both)


def test_a_difference_would_be_noticed() -> None:
    """The hardened engine is no reference: side by side with the mirror it must stand out."""

    def unlike(setting: Setting, now_ms: int) -> Player:
        return Together(
            MirrorPlayer(setting, now_ms), EnginePlayer(setting, now_ms, is_hardened=True)
        )

    noticed = 0
    for seed in range(20):
        try:
            play(seed, unlike)
        except AssertionError:
            noticed += 1
    assert noticed == 20
