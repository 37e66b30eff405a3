"""When a mail is tried again, and what a jumping clock cannot do."""

from dexmesh.apps.mail.proto.schedule import (
    EVERY_S,
    LIFE_S,
    LONGEST_ABSENCE_S,
    STEPS_S,
    QueueClock,
    deserves_warning,
    is_over,
    wait_after,
)

DAY_S = 86400.0


def test_the_steps_are_those_of_the_specification() -> None:
    steps = [wait_after(tries, 0.5) for tries in range(1, 11)]
    assert steps == [15, 30, 60, 120, 300, 600, 1200, 1800, 1800, 1800]


def test_every_wait_is_spread_by_a_fifth() -> None:
    for tries, base in enumerate([*STEPS_S, EVERY_S], start=1):
        assert wait_after(tries, 0.0) == base * 0.8
        assert base * 1.19 < wait_after(tries, 0.9999) < base * 1.2


def test_a_mail_is_tried_for_fourteen_days_and_its_sender_warned_after_one() -> None:
    assert not is_over(0.0, 14 * DAY_S - 1)
    assert is_over(0.0, 14 * DAY_S)
    assert not deserves_warning(0.0, DAY_S - 1)
    assert deserves_warning(0.0, DAY_S)


def test_queue_time_follows_the_clock_that_does_not_jump() -> None:
    clock = QueueClock.resume(1000.0, 5000.0, unix_time=5000.0, now=70.0)
    assert clock.read(70.0) == 1000.0
    assert clock.read(100.0) == 1030.0


def test_time_switched_off_counts() -> None:
    clock = QueueClock.resume(1000.0, 5000.0, unix_time=5000.0 + 3600, now=2.0)
    assert clock.read(2.0) == 4600.0


def test_a_wall_clock_set_back_while_off_takes_nothing_away() -> None:
    clock = QueueClock.resume(1000.0, 5000.0, unix_time=17.0, now=2.0)
    assert clock.read(2.0) == 1000.0


def test_a_wall_clock_far_ahead_ends_no_mail() -> None:
    clock = QueueClock.resume(1000.0, 5000.0, unix_time=5000.0 + 50 * 365 * DAY_S, now=2.0)
    assert clock.read(2.0) == 1000.0 + LONGEST_ABSENCE_S
    assert LONGEST_ABSENCE_S < LIFE_S
