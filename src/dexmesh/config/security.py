"""Check the `security` section: what the process gives up once it is set up.

Place     config/reader.py -> here -> settings values
Spec      docs/protocol/09 section 4 "Security steps"
Keeps     what the list does not mention keeps cjdns' default
Not here  doing it (host/privileges.py)
"""

from __future__ import annotations

from dataclasses import replace

from dexmesh.config.checker import Keys
from dexmesh.config.document import Number
from dexmesh.config.settings import SecuritySettings

_KNOWN = ("chroot", "nofiles", "noforks", "seccomp", "setupComplete", "setuser")


def read_security(root: Keys) -> SecuritySettings:
    """The whole list; a later element overrules an earlier one."""
    settings = SecuritySettings()
    for index, keys in enumerate(root.tables("security", "security")):
        if not any(keys.has(name) for name in _KNOWN):
            keys.checker.warn(keys.start, f"unrecognized entry in security at index {index}")
            continue
        settings = replace(
            settings,
            chroot=_name_or_off(keys, "chroot", settings.chroot),
            nofiles=keys.is_set("nofiles", default=settings.nofiles),
            noforks=keys.is_set("noforks", default=settings.noforks),
            seccomp=keys.is_set("seccomp", default=settings.seccomp),
            setup_complete=keys.is_set("setupComplete", default=settings.setup_complete),
        )
        if keys.has("setuser"):
            settings = _with_user(keys, settings)
        keys.finish()
    return settings


def _with_user(keys: Keys, settings: SecuritySettings) -> SecuritySettings:
    """`keepNetAdmin` is 0 where only `setuser` is given; `exemptAngel` is its old name."""
    old_name = keys.is_set("exemptAngel", default=False)
    return replace(
        settings,
        user=_name_or_off(keys, "setuser", settings.user),
        keep_net_admin=keys.is_set("keepNetAdmin", default=old_name),
    )


def _name_or_off(keys: Keys, name: str, default: str | None) -> str | None:
    """A text, or None for the number 0."""
    if isinstance(keys.node(name), Number):
        keys.integer(name, 0, 0)
        return None
    return keys.text(name) or default
