"""Deliveries in groups: once each, whatever is interrupted, and whatever the disk says."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dexmesh.apps.mail.store import DeliveryResult, Folder
from dexmesh.apps.mail.store import commit as commit_module
from dexmesh.apps.mail.store.commit import Committer, Outcome
from dexmesh.apps.mail.store.journal import Journal
from dexmesh.apps.mail.store.maildir import sync_directory
from dexmesh.errors import MailError
from tests.unit.apps.mail.store.world import World, job, message

STEPS = 12  # more than a delivery has; the tests say how many they met


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


class CrashError(BaseException):
    """The process is gone."""


class Steps:
    """Let the n-th thing that touches the disk fail, before or after it is done."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.met = 0
        self._fail_at = -1
        self._failure: Callable[[], BaseException] = CrashError
        self._is_after = False
        for name in ("link", "rename", "unlink"):
            patch.setattr(os, name, self._wrapped(getattr(os, name)))
        patch.setattr(commit_module, "sync_directory", self._wrapped(sync_directory))
        patch.setattr(Path, "unlink", self._wrapped(Path.unlink))
        for name in ("add", "find", "forget"):
            patch.setattr(Journal, name, self._wrapped(getattr(Journal, name)))

    def fail_at(
        self, number: int, failure: Callable[[], BaseException], *, is_after: bool = False
    ) -> None:
        self.met, self._fail_at = 0, number
        self._failure, self._is_after = failure, is_after

    def _wrapped(self, work: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **named: Any) -> Any:
            self.met += 1
            number = self.met
            if number == self._fail_at and not self._is_after:
                raise self._failure()
            done = work(*arguments, **named)
            if number == self._fail_at:
                raise self._failure()
            return done

        return step


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    return Steps(monkeypatch)


def commit_one(committer: Committer, world: World, message_id: str = "<1@x>") -> Outcome:
    (outcome,) = committer.commit([job(world.mail(message_id))], {"ann": 1})
    return outcome


def test_a_mail_lies_in_new_with_every_byte(world: World) -> None:
    outcome = commit_one(world.committer(), world)
    assert isinstance(outcome, DeliveryResult)
    assert not outcome.is_duplicate
    assert (world.box().path / "new" / outcome.key).read_bytes() == message()
    assert world.staged() == []


def test_the_same_mail_again_is_a_duplicate_even_after_it_went_to_another_folder(
    world: World,
) -> None:
    committer = world.committer()
    request = world.mail(folder=Folder.REQUESTS)
    committer.commit([job(request)], {})
    outcome = commit_one(committer, world)
    assert outcome == DeliveryResult(True, outcome.key, Folder.REQUESTS)  # type: ignore[union-attr]
    assert world.contents() == []
    assert len(world.contents(folder=Folder.REQUESTS)) == 1


def test_another_user_node_text_or_own_copy_is_another_mail(world: World) -> None:
    committer = world.committer()
    mails = [
        world.mail(),
        world.mail(user="tom"),
        world.mail(remote=None),
        world.mail(message_id="<2@x>"),
        world.mail(folder=Folder.SENT),
    ]
    outcomes = committer.commit([job(mail) for mail in mails], {})
    assert not any(isinstance(one, MailError) or one.is_duplicate for one in outcomes)  # type: ignore[union-attr]
    assert len(world.contents()) == 3
    assert len(world.contents("tom")) == 1
    (sent,) = world.box().entries(Folder.SENT)
    assert (sent.place, sent.flags) == ("cur", "S")


def test_the_same_mail_twice_in_a_group_is_stored_once(world: World) -> None:
    jobs = [job(world.mail()), job(world.mail("<2@x>")), job(world.mail())]
    outcomes = world.committer().commit(jobs, {})
    assert [one.is_duplicate for one in outcomes] == [False, False, True]  # type: ignore[union-attr]
    assert len(world.contents()) == 2


@pytest.mark.parametrize("is_after", [False, True])
def test_a_crash_at_any_step_loses_nothing_and_doubles_nothing(
    world: World, steps: Steps, is_after: bool
) -> None:
    crashes = 0
    for number in range(1, STEPS):
        name, known = f"<{number}@x>", len(world.contents())
        committer = world.committer()
        steps.fail_at(number, CrashError, is_after=is_after)
        try:
            commit_one(committer, world, name)
        except CrashError:
            crashes += 1
        steps.fail_at(-1, CrashError)
        again = commit_one(world.committer(), world, name)
        assert isinstance(again, DeliveryResult)
        assert len(world.contents()) == known + 1
        assert world.staged() == []
    assert crashes >= 6


@pytest.mark.parametrize("is_after", [False, True])
def test_a_crash_while_a_crash_is_repaired_does_no_harm(
    world: World, steps: Steps, is_after: bool
) -> None:
    crashes = 0
    for number in range(1, STEPS):
        name, known = f"<{number}@x>", len(world.contents())
        committer = world.committer()
        steps.fail_at(5, CrashError)  # decided, not placed
        with pytest.raises(CrashError):
            commit_one(committer, world, name)
        steps.fail_at(number, CrashError, is_after=is_after)
        try:
            world.committer()
        except CrashError:
            crashes += 1
        steps.fail_at(-1, CrashError)
        again = commit_one(world.committer(), world, name)
        assert again == DeliveryResult(True, again.key, Folder.INBOX)  # type: ignore[union-attr]
        assert len(world.contents()) == known + 1
        assert world.staged() == []
    assert crashes >= 3


@pytest.mark.parametrize("what", ["deleted", "moved", "read"])
def test_what_the_owner_did_before_the_restart_stays_done(
    world: World, steps: Steps, what: str
) -> None:
    committer = world.committer()
    steps.fail_at(6, CrashError)  # placed, and nobody told
    with pytest.raises(CrashError):
        commit_one(committer, world)
    steps.fail_at(-1, CrashError)
    (entry,) = world.box().entries(Folder.INBOX)
    if what == "deleted":
        os.unlink(entry.path)
    elif what == "moved":
        os.rename(entry.path, world.box().folder(Folder.TRASH) / "cur" / f"{entry.key}:2,ST")
    else:
        os.rename(entry.path, world.box().path / "cur" / f"{entry.key}:2,RS")
    again = commit_one(world.committer(), world)
    assert isinstance(again, DeliveryResult)
    assert again.is_duplicate
    assert len(world.contents()) == (what == "read")


def no_space() -> OSError:
    return OSError(errno.ENOSPC, "No space left on device")


def read_only() -> OSError:
    return OSError(errno.EROFS, "Read-only file system")


def journal_full() -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    return error


def journal_broken() -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
    return error


@pytest.mark.parametrize("failure", [no_space, read_only, journal_full, journal_broken])
@pytest.mark.parametrize("is_after", [False, True])
def test_a_disk_that_fails_at_any_step_means_452_and_once_it_is_well_the_mail_is_there_once(
    world: World, steps: Steps, failure: Callable[[], Exception], is_after: bool
) -> None:
    committer = world.committer()
    refused = 0
    for number in range(1, STEPS):
        name, known = f"<{number}@x>", len(world.contents())
        steps.fail_at(number, failure, is_after=is_after)
        outcome = commit_one(committer, world, name)
        steps.fail_at(-1, CrashError)
        if isinstance(outcome, MailError):
            refused += 1
            assert (outcome.code, outcome.enhanced) == (452, "4.3.1")
        again = commit_one(committer, world, name)  # the same process, no restart
        assert isinstance(again, DeliveryResult)
        assert len(world.contents()) == known + 1
        assert world.staged() == []
    assert refused >= 5


def test_a_disk_that_fails_leaves_no_half_of_a_mail(world: World, steps: Steps) -> None:
    committer = world.committer()
    for number in (2, 3, 4, 5):
        steps.fail_at(number, no_space)
        outcome = commit_one(committer, world, f"<{number}@x>")
        assert isinstance(outcome, MailError)
        assert world.staged() == []
        assert world.contents() == []


def test_one_mail_that_cannot_be_taken_does_not_hold_up_the_group(world: World) -> None:
    gone = world.mail("<gone@x>")
    gone.spool.unlink()
    outcomes = world.committer().commit([job(gone), job(world.mail("<2@x>"))], {})
    assert isinstance(outcomes[0], MailError)
    assert isinstance(outcomes[1], DeliveryResult)


def test_a_folder_the_user_removed_is_made_again(world: World) -> None:
    committer = world.committer()
    (world.box().path / "new").rmdir()
    assert isinstance(commit_one(committer, world), DeliveryResult)
    assert len(world.contents()) == 1


@pytest.fixture
def two_disks(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """Spool, store and Maildirs lie on file systems of their own."""

    def disk(path: Any) -> str:
        parts = Path(path).relative_to(world.home.path.parent).parts
        return "/".join(parts[:3])

    def apart(work: Callable[..., None]) -> Callable[..., None]:
        def one(source: Any, target: Any) -> None:
            if disk(source) != disk(target):
                raise OSError(errno.EXDEV, "Invalid cross-device link")
            work(source, target)

        return one

    monkeypatch.setattr(os, "link", apart(os.link))
    monkeypatch.setattr(os, "rename", apart(os.rename))
    return world


def test_across_file_systems_mails_are_copied(two_disks: World) -> None:
    outcome = commit_one(two_disks.committer(), two_disks)
    assert isinstance(outcome, DeliveryResult)
    assert two_disks.contents() == [message()]
    assert two_disks.staged() == []
    assert os.listdir(two_disks.box().path / "tmp") == []


def test_a_crash_after_the_copy_to_another_file_system_gives_no_second_mail(
    two_disks: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    committer = two_disks.committer()
    with monkeypatch.context() as patch:
        patch.setattr(commit_module, "sync_directory", _crash_at_new)
        with pytest.raises(CrashError):
            commit_one(committer, two_disks)
    assert len(two_disks.staged()) == 1
    (entry,) = two_disks.box().entries(Folder.INBOX)
    os.rename(entry.path, two_disks.box().path / "cur" / f"{entry.key}:2,S")
    two_disks.committer()
    assert len(two_disks.contents()) == 1
    assert two_disks.staged() == []


def _crash_at_new(folder: Path) -> None:
    if folder.name == "new":
        raise CrashError
