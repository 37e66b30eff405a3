"""Import all that the service may ever need, while the process may still read where it is.

Place     the worker, before it becomes its account (base/supervisor.py `prepare`)
Spec      ours: Python may be installed where only root can read, in /root for one
Keeps     afterwards nothing is imported any more; costs 2 MB and 0.1 s
Not here  what is done with it (service.py)
"""

from __future__ import annotations

import contextlib
import email
import encodings
import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType

import dexmesh.apps

_LATE = (
    "_strptime",  # datetime.strptime imports it when it is called
    "concurrent.futures.thread",
    "html.entities",
    "linecache",
    "ssl",
    "traceback",
    "cryptography.hazmat.primitives.serialization",
    "cryptography.hazmat.primitives.asymmetric.ec",
    "cryptography.hazmat.primitives.hashes",
    "cryptography.x509",
    "cryptography.x509.oid",
)
_OF_THE_COMMAND_LINE = (
    "dexmesh.apps.mail.programs",
    "dexmesh.apps.mail.sendmail",
    "dexmesh.apps.call.programs",
    "dexmesh.apps.call.sound.device",
)


def preload() -> None:
    """Import it."""
    packages = (dexmesh.apps, email, encodings)  # mails come in any encoding
    for name in (*_LATE, *(name for package in packages for name in _modules(package))):
        with contextlib.suppress(ImportError):  # encodings of other systems
            importlib.import_module(name)


def _modules(package: ModuleType) -> Iterator[str]:
    """Every module in this package that the worker may come to use."""
    for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        if found.name.startswith(_OF_THE_COMMAND_LINE):
            continue
        yield found.name
        if found.ispkg:
            yield from _modules(importlib.import_module(found.name))
