"""Keep the list of who lives here up to date: users and aliases of the settings, and the aliases file.

Place     receiver.py and submission.py ask -> here -> proto/aliases.py
Spec      docs/apps/mail.md §1, §3 (aliases)
Keeps     the file is looked at every CHECK_S at most and read only when it changed; one that cannot be
          read is as good as empty
Not here  what an alias means (proto/aliases.py)
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from dexmesh.apps.base.me import Me
from dexmesh.apps.base.settings import MailSettings
from dexmesh.apps.mail.proto.aliases import Aliases, parse_aliases
from dexmesh.apps.mail.proto.policy import LocalNames

CHECK_S = 2.0  # ours
MAX_FILE_BYTES = 1024 * 1024  # ours

_log = logging.getLogger(__name__)


class LocalDirectory:
    """One per worker."""

    def __init__(
        self, me: Me, settings: MailSettings, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._me = me
        self._settings = settings
        self._now = now
        self._checked_at = float("-inf")
        self._seen: tuple[int, int, int] | None = None
        self._names = self._assemble({})

    def names(self) -> LocalNames:
        """Who lives here now."""
        if self._settings.aliases_file is not None and self._now() - self._checked_at >= CHECK_S:
            self._checked_at = self._now()
            self._look(self._settings.aliases_file)
        return self._names

    def _look(self, path: Path) -> None:
        try:
            status = path.stat()
            seen = (status.st_mtime_ns, status.st_size, status.st_ino)
            if seen == self._seen:
                return
            with path.open("rb") as file:
                data = file.read(MAX_FILE_BYTES)
        except OSError as error:
            if self._seen is not None or not self._names.users:
                _log.warning("the aliases file cannot be read: errno=%s", error.errno)
            seen, data = None, b""
        self._seen = seen
        self._names = self._assemble(parse_aliases(data.decode("utf-8", "replace")))

    def _assemble(self, from_file: Aliases) -> LocalNames:
        own = {name.lower(): targets for name, targets in self._settings.aliases.items()}
        hosts = frozenset(name.lower().removesuffix(".") for name in self._settings.host_names)
        users = tuple(user.name for user in self._settings.users)
        return LocalNames(self._me, users, {**from_file, **own}, hosts)
