"""Killed at random moments: what was answered is there, once; what its owner deleted stays deleted."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

from dexmesh.apps.mail.store import MailStore
from tests.unit.apps.mail.store.crashing import Scene, lines

KILLS = int(os.environ.get("DEXMESH_STORE_KILLS", "200"))
SEED = int(os.environ.get("DEXMESH_STORE_SEED", "4"))


def test_two_hundred_kills_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "tests.unit.apps.mail.store.crashing", str(tmp_path)]
    subprocess.run([*argv, str(KILLS), str(SEED)], check=True, timeout=20 + KILLS)
    scene = Scene(tmp_path)
    assert lines(tmp_path / "failed") == []
    asyncio.run(open_and_close(scene))  # the last repair
    stored = Counter(subjects(scene))
    answered, deleted = set(lines(scene.log)), set(lines(scene.deleted))
    assert len(answered) > 2 * KILLS  # it did deliver between the kills
    assert [name for name, count in stored.items() if count > 1] == []
    assert answered - deleted - set(stored) == set()
    assert deleted & set(stored) == set()
    assert os.listdir(scene.home.mail / "staging") == []


async def open_and_close(scene: Scene) -> None:
    store = MailStore(scene.home, scene.settings)
    await store.open()
    await asyncio.gather(*store._background)
    await store.close()


def subjects(scene: Scene) -> list[str]:
    """The subject of every message, each of which must be whole."""
    box = scene.box()
    texts = [Path(entry.path).read_text() for name in box.folders() for entry in box.entries(name)]
    for text in scene.mbox.read_text().split("From a@b ")[1:]:
        texts.append(text.partition("\n")[2].partition("\n")[2].removesuffix("\n"))
    found = [text.split("\n")[1].removeprefix("Subject: ") for text in texts]
    for name, text in zip(found, texts, strict=True):
        assert text == f"Message-ID: <{name}>\nSubject: {name}\n\nbody of {name}\n"
    return found
