"""Find the folder where the apps keep everything: settings, contacts, mail, and the control socket.

Place     every app and every command of theirs -> here
Spec      docs/apps/mail.md §4 (ours: where on the disk)
Keeps     an explicit folder wins, then $DEXMESH_HOME; nothing here creates anything
Not here  what the files hold (settings.py, the stores of the apps)
"""

from __future__ import annotations

import os
from pathlib import Path

from dexmesh.values import dataclass

HOME_VARIABLE = "DEXMESH_HOME"
SYSTEM_HOME = Path("/var/lib/dexmesh")


@dataclass(frozen=True, slots=True)
class Home:
    """One folder of the apps. Others on this machine may reach the control socket in it, no more."""

    path: Path

    @property
    def settings_file(self) -> Path:
        """What is switched on, and for whom."""
        return self.path / "apps.toml"

    @property
    def contacts(self) -> Path:
        """One vCard file for each contact."""
        return self.path / "contacts"

    @property
    def mail(self) -> Path:
        """Mailboxes, queue and journal."""
        return self.path / "mail"

    @property
    def mail_users(self) -> Path:
        """A folder for each local user."""
        return self.path / "mail" / "users"

    @property
    def control_socket(self) -> Path:
        """Where the running service takes commands."""
        return self.path / "control.sock"


def find_home(explicit: Path | None = None) -> Home:
    """The home to use: the one given, $DEXMESH_HOME, the machine's own, or the user's."""
    if explicit is not None:
        return Home(explicit.absolute())
    named = os.environ.get(HOME_VARIABLE)
    if named:
        return Home(Path(named).absolute())
    if os.geteuid() == 0 or SYSTEM_HOME.is_dir():
        return Home(SYSTEM_HOME)
    return Home(_user_home())


def _user_home() -> Path:
    base = os.environ.get("XDG_DATA_HOME")
    return Path(base if base else os.path.expanduser("~/.local/share")) / "dexmesh"
