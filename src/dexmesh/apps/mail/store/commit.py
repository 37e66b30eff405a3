"""Deliver a batch of mails so that no crash loses one or gives one twice.

Place     writer.py hands in what waited -> here -> journal.py, the users' Maildirs
Spec      docs/apps/mail.md §4 "Duplicate guard"; issue 4 "Crash safety"
Keeps     whoever is told "delivered" finds the mail after any crash, once
Not here  waiting and grouping (writer.py), appending to an mbox (mbox.py), quota (quota.py)

A mail goes through three steps, each for the whole batch at once:
  1. stage    its file is linked into staging/, under its delivery id          (fsync of staging/)
  2. decide   its row, with the final file name, is committed                  (fsync of the journal)
  3. place    the staged file is renamed into new/                             (fsync of each new/)
A row means: this mail is ours. A staged file means: not placed yet. So after a crash a staged file with a
row is placed, one without is removed, and a row without staged file is done for good: its owner may have
moved or deleted the mail since, and nobody has to look for it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from dexmesh.apps.mail.store.journal import DeliveryId, Journal, Row
from dexmesh.apps.mail.store.maildir import Maildir, sync_directory, sync_file, unique_name
from dexmesh.apps.mail.store.troubles import DiskError, disk_trouble, wrote_nothing
from dexmesh.apps.mail.store.values import DeliveryResult, ReceivedMail
from dexmesh.errors import MailError
from dexmesh.values import dataclass

DRAFT = ".lf"  # ending of a file in staging/ that is not staged yet
_CANNOT_LINK = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP})


@dataclass(frozen=True, slots=True)
class Job:
    """A mail that waits. `mbox_start` is the length of the user's (locked) mbox; None: Maildir."""

    id: DeliveryId
    mail: ReceivedMail
    mbox_start: int | None = None


Outcome: TypeAlias = DeliveryResult | MailError | Row
"""What became of a job. A row: it is decided, and the caller has to append it to the mbox."""


class Committer:
    """One per store. Synchronous, one caller at a time."""

    def __init__(
        self,
        journal: Journal,
        staging: Path,
        maildir: Callable[[str], Maildir],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._journal = journal
        self._staging = staging
        self._maildir = maildir
        self._clock = clock
        self._is_unsure = False  # something staged may be left that nobody waits for

    def staged(self, one: DeliveryId) -> Path:
        """Where a mail lies that is not placed yet."""
        return self._staging / one.hex()

    def commit(
        self, jobs: Sequence[Job], used: Mapping[str, int], busy: Collection[DeliveryId] = ()
    ) -> list[Outcome]:
        """Deliver these mails; an outcome for each, in order. Raises nothing the disk can cause.

        `used`: what each user has, to be kept with it. `busy`: mbox deliveries under way.
        """
        outcomes: dict[int, Outcome] = {}
        first = {job.id: number for number, job in reversed(list(enumerate(jobs)))}
        fresh = {number: jobs[number] for number in first.values()}
        try:
            self._prepare(busy)
            known = self._journal.find(first)
            outcomes |= self._again({first[one]: row for one, row in known.items()})
            outcomes |= self._deliver(
                {number: job for number, job in fresh.items() if number not in outcomes}, used
            )
        except DiskError as error:
            trouble = disk_trouble(error)
            outcomes |= {number: trouble for number in fresh if number not in outcomes}
        if len(fresh) < len(jobs):  # the same mail twice in a batch: the second waits for the first
            rest = [number for number in range(len(jobs)) if number not in fresh]
            again = self.commit([jobs[number] for number in rest], used, busy)
            outcomes |= dict(zip(rest, again, strict=True))
        answers = [outcomes[number] for number in range(len(jobs))]
        if all(isinstance(answer, MailError) for answer in answers):
            self._journal.close()  # so that a broken disk can be unmounted, and mounted anew
        return answers

    def recover(self, busy: Collection[DeliveryId] = ()) -> list[Row]:
        """Finish what a crash or a full disk interrupted; the rows whose mbox has to be looked at.

        Raises what the disk raises; call it again then.
        """
        self._staging.mkdir(mode=0o700, parents=True, exist_ok=True)
        left = [one for one in self._left_over() if one not in busy]
        known = self._journal.find(left)
        for one in left:
            if one not in known:
                self.staged(one).unlink(missing_ok=True)
        outcomes = self._again(dict(enumerate(known.values())))
        self._is_unsure = any(isinstance(one, MailError) for one in outcomes.values())
        return [one for one in outcomes.values() if isinstance(one, Row)]

    def remove_drafts(self) -> None:
        """What earlier lives left beside the staged files; not to be called while mails come in."""
        for draft in self._staging.glob(f"*{DRAFT}"):
            draft.unlink(missing_ok=True)

    def undo(self, ids: Collection[DeliveryId]) -> None:
        """These were decided, but cannot be placed: their senders are told to try again."""
        try:
            self._journal.forget(ids)
            self._unstage(ids)
        except DiskError:
            self._is_unsure = True  # a re-send, or the next start, finishes them

    def finish(self, one: DeliveryId) -> None:
        """A mail is placed (mbox): from now on it is done for good. Raises OSError."""
        self.staged(one).unlink(missing_ok=True)

    def _prepare(self, busy: Collection[DeliveryId]) -> None:
        if self._is_unsure or not self._staging.is_dir():
            self.recover(busy)

    def _left_over(self) -> list[DeliveryId]:
        found = []
        for name in os.listdir(self._staging):
            with contextlib.suppress(ValueError):
                found.append(DeliveryId(bytes.fromhex(name)))
        return found

    def _deliver(self, jobs: Mapping[int, Job], used: Mapping[str, int]) -> dict[int, Outcome]:
        outcomes, staged = self._stage(jobs)
        if not staged:
            return outcomes
        now = self._clock()
        rows = {number: _row(job, now) for number, job in staged.items()}
        try:
            sync_directory(self._staging)
            self._journal.add(rows.values(), used, now)
        except DiskError as error:
            self._take_back([row.id for row in rows.values()], error)
            trouble = disk_trouble(error)
            return outcomes | dict.fromkeys(rows, trouble)
        return outcomes | self._place(rows, is_duplicate=False)

    # 1. Stage

    def _stage(self, jobs: Mapping[int, Job]) -> tuple[dict[int, Outcome], dict[int, Job]]:
        outcomes: dict[int, Outcome] = {}
        staged: dict[int, Job] = {}
        for number, job in jobs.items():
            try:
                _link(job.mail.spool, self.staged(job.id))
                staged[number] = job
            except OSError as error:
                outcomes[number] = disk_trouble(error)
        return outcomes, staged

    def _take_back(self, ids: Collection[DeliveryId], error: OSError | sqlite3.Error) -> None:
        """Nothing was decided, it seems."""
        if isinstance(error, sqlite3.Error) and not wrote_nothing(error):
            self.undo(ids)
            return
        try:
            decided = self._journal.find(ids)
        except DiskError:
            self._is_unsure = True
            return
        self._unstage(one for one in ids if one not in decided)
        self._is_unsure = self._is_unsure or bool(decided)

    def _unstage(self, ids: Iterable[DeliveryId]) -> None:
        for one in ids:
            try:
                self.staged(one).unlink(missing_ok=True)
            except OSError:
                self._is_unsure = True

    # 3. Place

    def _again(self, rows: Mapping[int, Row]) -> dict[int, Outcome]:
        """Mails that are ours already: place those which are not, make sure of the others."""
        staged = {number: row for number, row in rows.items() if self.staged(row.id).exists()}
        rest = {number: row for number, row in rows.items() if number not in staged}
        return self._place(staged, is_duplicate=True) | self._make_sure(rest, is_duplicate=True)

    def _place(self, rows: Mapping[int, Row], *, is_duplicate: bool) -> dict[int, Outcome]:
        outcomes: dict[int, Outcome] = {}
        placed: dict[int, Row] = {}
        copied: list[DeliveryId] = []
        for number, row in rows.items():
            if row.mbox_start is not None:
                outcomes[number] = row
                continue
            try:
                if self._move(row):
                    copied.append(row.id)
                placed[number] = row
            except OSError as error:
                outcomes[number] = disk_trouble(error)
                if self.staged(row.id).exists():  # if not, it was renamed in spite of the error
                    self.undo([row.id])
        outcomes |= self._make_sure(placed, is_duplicate=is_duplicate)
        self._unstage(copied)
        return outcomes

    def _move(self, row: Row) -> bool:
        """Rename the staged file into its folder; True if it had to be copied, and is still there."""
        box, staged = self._maildir(row.user), self.staged(row.id)
        target = box.target(row.folder, row.key)
        try:
            os.rename(staged, target)
        except FileNotFoundError:  # the user removed the folder
            box.make_folder(row.folder)
            os.rename(staged, target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            _copy_across(staged, box, row, target)
            return True
        return False

    def _make_sure(self, rows: Mapping[int, Row], *, is_duplicate: bool) -> dict[int, Outcome]:
        """The files are where they belong: that shall outlast a crash."""
        outcomes: dict[int, Outcome] = {}
        synced: dict[Path, MailError | None] = {}
        for number, row in rows.items():
            if row.mbox_start is None:
                folder = self._maildir(row.user).target(row.folder, row.key).parent
                if folder not in synced:
                    synced[folder] = _sync(folder)
                if (trouble := synced[folder]) is not None:
                    outcomes[number] = trouble
                    continue
            outcomes[number] = DeliveryResult(is_duplicate, row.key, row.folder)
        return outcomes


def _row(job: Job, unix_time: float) -> Row:
    mail = job.mail
    key = unique_name(unix_time, mail.size, mail.wire_size)
    return Row(job.id, int(unix_time), mail.user, mail.folder, key, mail.sender, job.mbox_start)


def _link(source: Path, target: Path) -> None:
    """A second name for a file; a copy where the file system has no such thing."""
    try:
        os.link(source, target)
    except FileExistsError:  # without a row: left by a batch that failed
        target.unlink()
        os.link(source, target)
    except OSError as error:
        if error.errno not in _CANNOT_LINK:
            raise
        _copy(source, target)


def _copy(source: Path, target: Path) -> None:
    try:
        shutil.copyfile(source, target)
        target.chmod(0o600)
        sync_file(target)
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _copy_across(staged: Path, box: Maildir, row: Row, target: Path) -> None:
    """Place a mail on another file system. There only its name tells whether it is there already."""
    if box.has(row.key):
        return
    draft = box.folder(row.folder) / "tmp" / row.key
    _copy(staged, draft)
    os.rename(draft, target)


def _sync(folder: Path) -> MailError | None:
    try:
        sync_directory(folder)
    except FileNotFoundError:  # the user removed the folder, and what was in it
        return None
    except OSError as error:
        return disk_trouble(error)
    return None
