"""Keep what each user wants of the phone: do not disturb, automatic answers, call waiting.

Place     `dexmesh phone dnd` and its sisters -> call_calls.py -> here -> a file in the home
Spec      issue 5 (do-not-disturb, auto-answer)
Keeps     the file is replaced whole; one that cannot be read is as good as none and is told in the log
Not here  what follows (phone/policy.py), settings of the machine (base/settings.py, [phone])
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
from pathlib import Path

from dexmesh.apps.base.settings import PhoneSettings
from dexmesh.apps.call.phone.values import CallError, UserSettings

SWITCHES = ("do_not_disturb", "auto_answer", "call_waiting")
MAX_FILE_BYTES = 1 << 20  # ours

log = logging.getLogger(__name__)


class Preferences:
    """Of every user; in memory and on disk."""

    def __init__(self, path: Path, settings: PhoneSettings) -> None:
        self._path = path
        self._base = UserSettings(
            strangers_ring=settings.strangers_ring, has_voicemail=settings.has_voicemail
        )
        self._chosen = _read(path)

    def of(self, user: str) -> UserSettings:
        """What this user wants."""
        return dataclasses.replace(self._base, **self._chosen.get(user, {}))

    def choose(self, user: str, switch: str, *, is_on: bool) -> UserSettings:
        """Change one of SWITCHES, on disk when it returns. Raises CallError."""
        if switch not in SWITCHES:
            raise CallError(f"{switch!r} is no switch of the phone", f"they are {SWITCHES}")
        chosen = {**self._chosen, user: {**self._chosen.get(user, {}), switch: is_on}}
        draft = self._path.with_name(f".{self._path.name}.new")
        try:
            with draft.open("w", encoding="utf-8") as file:
                json.dump(chosen, file)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._path)
        except OSError as error:
            raise CallError(f"{self._path}: {error.strerror}") from None
        self._chosen = chosen
        return self.of(user)


def _read(path: Path) -> dict[str, dict[str, bool]]:
    try:
        with path.open("rb") as file:
            told = json.loads(file.read(MAX_FILE_BYTES))
        return {
            str(user): {name: bool(chosen[name]) for name in SWITCHES if name in chosen}
            for user, chosen in told.items()
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        log.warning("what users want of the phone cannot be read", extra={"reason": str(error)})
        return {}
