"""Passwords: made once, kept as hashes, and hard to guess."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest

from dexmesh.apps.mail.passwords import (
    FREE_FAILURES,
    REFILL_S,
    GuessLimiter,
    Logins,
    PasswordBook,
)
from dexmesh.errors import HostError


@pytest.fixture
def book(tmp_path: Path) -> PasswordBook:
    return PasswordBook(tmp_path / "passwords")


def test_the_password_that_was_made_lets_in_and_no_other_does(book: PasswordBook) -> None:
    password = book.renew("bob")
    assert book.check("bob", password)
    assert not book.check("bob", password + "x")
    assert not book.check("bob", "")
    assert not book.check("eve", password)


def test_a_new_password_voids_the_old_one_and_leaves_others_alone(book: PasswordBook) -> None:
    first, other = book.renew("bob"), book.renew("alice")
    second = book.renew("bob")
    assert not book.check("bob", first)
    assert book.check("bob", second)
    assert book.check("alice", other)
    assert book.remove("bob")
    assert not book.remove("bob")
    assert not book.check("bob", second)


def test_the_file_is_secret_and_holds_no_password(book: PasswordBook, tmp_path: Path) -> None:
    password = book.renew("bob")
    file = tmp_path / "passwords"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert password not in file.read_text()


@pytest.mark.parametrize(
    "line",
    ["bob", "bob:", "bob:scrypt:99:8:1:00:00", "bob:scrypt:14:8:1:zz:zz", "bob:plain:1:1:1:61:61"],
)
def test_a_broken_line_lets_nobody_in(book: PasswordBook, tmp_path: Path, line: str) -> None:
    (tmp_path / "passwords").write_text(line + "\n")
    assert not book.check("bob", "")
    assert not book.check("bob", "a")


def test_a_name_that_would_break_the_file_is_refused(book: PasswordBook) -> None:
    for name in ("", "a:b", "a\nroot"):
        with pytest.raises(HostError):
            book.renew(name)


def test_a_very_long_password_is_refused_without_hashing_all_of_it(book: PasswordBook) -> None:
    password = book.renew("bob")
    assert not book.check("bob", password + "x" * 1_000_000)


def test_after_ten_failures_a_user_waits_and_time_forgives() -> None:
    limiter = GuessLimiter()
    for _ in range(FREE_FAILURES):
        assert limiter.wait_s("bob", 100.0) == 0
        limiter.handle_failure("bob", 100.0)
    assert limiter.wait_s("bob", 100.0) == REFILL_S
    assert limiter.wait_s("alice", 100.0) == 0
    assert limiter.wait_s("bob", 100.0 + REFILL_S) == 0
    limiter.handle_success("bob")
    assert limiter.wait_s("bob", 100.0) == 0


def test_guessing_is_refused_even_if_the_guess_is_right(book: PasswordBook) -> None:
    password = book.renew("bob")
    clock = [0.0]

    async def guess() -> None:
        logins = Logins(book, {"bob"}.__contains__, now=lambda: clock[0])
        for number in range(FREE_FAILURES):
            assert not await logins.check("bob", f"guess {number}")
        assert not await logins.check("bob", password)
        assert logins.refused == {"wrong password": FREE_FAILURES, "too many tries": 1}
        clock[0] += 2 * REFILL_S
        assert await logins.check("bob", password)

    asyncio.run(guess())


def test_strangers_to_this_machine_share_one_limit_and_cannot_fill_the_table(
    book: PasswordBook,
) -> None:
    async def guess() -> None:
        logins = Logins(book, {"bob"}.__contains__, now=lambda: 0.0)
        for number in range(FREE_FAILURES + 5):
            assert not await logins.check(f"nobody{number}", "x")
        assert logins.refused["too many tries"] == 5
        assert len(logins._limiter._spent) == 1

    asyncio.run(guess())
