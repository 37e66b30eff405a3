"""The journal forgets after a week, never grows beyond its bound, and says no in time."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from dexmesh.apps.mail.store import journal as journal_module
from dexmesh.apps.mail.store.journal import GUARD_S, DeliveryId, Journal, Row
from dexmesh.errors import MailError
from dexmesh.wire.address import Address

NOW = 1_800_000_000


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "received.db")


def row(number: int, unix_time: int = NOW) -> Row:
    return Row(DeliveryId(number.to_bytes(16, "big")), unix_time, "ann", "INBOX", f"{number}.x")


def known(journal: Journal, *numbers: int) -> list[int]:
    ids = [row(number).id for number in numbers]
    return sorted(int.from_bytes(one, "big") for one in journal.find(ids))


def test_a_delivery_is_remembered_for_a_week(journal: Journal) -> None:
    journal.add([row(1)], {}, NOW)
    journal.add([row(2, NOW + GUARD_S - 1)], {}, NOW + GUARD_S - 1)
    assert known(journal, 1, 2) == [1, 2]
    journal.add([row(3, NOW + GUARD_S + 100)], {}, NOW + GUARD_S + 100)
    assert known(journal, 1, 2, 3) == [2, 3]


def test_the_oldest_are_forgotten_early_when_there_are_too_many(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "MAX_ROWS", 100)
    monkeypatch.setattr(journal_module, "_PURGE_ROWS", 10)
    for number in range(250):
        journal.add([row(number, NOW + number)], {}, NOW + number)
    kept = known(journal, *range(250))
    assert len(kept) <= 100
    assert kept == list(range(250 - len(kept), 250))
    assert journal.forgotten_early == 250 - len(kept)


def test_a_group_is_kept_whole_or_not_at_all(journal: Journal) -> None:
    journal.add([row(1)], {"ann": 5}, NOW)
    with pytest.raises(sqlite3.IntegrityError):
        journal.add([row(2), row(1)], {"ann": 9}, NOW)
    assert known(journal, 1, 2) == [1]
    assert journal.used() == {"ann": 5}


def test_only_so_many_nodes_are_blocked(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "MAX_BLOCKED", 2)
    nodes = [Address(b"\xfc" + bytes(14) + bytes([number])) for number in range(3)]
    journal.block(nodes[0])
    journal.block(nodes[1])
    with pytest.raises(MailError, match="blocked already"):
        journal.block(nodes[2])
    journal.unblock(nodes[0])
    journal.block(nodes[2])
    assert journal.blocked() == {nodes[1], nodes[2]}


def test_the_file_is_for_its_owner_alone_and_is_opened_anew_after_close(
    journal: Journal, tmp_path: Path
) -> None:
    journal.add([row(1)], {}, NOW)
    assert (tmp_path / "received.db").stat().st_mode & 0o777 == 0o600
    journal.close()
    assert known(journal, 1) == [1]
