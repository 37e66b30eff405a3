"""Import the part of pyroute2 that we use, and not the rest of it.

Place     netlink.py, beacons.py -> here
Spec      docs/decisions/0001 (what pyroute2 saves us)
Keeps     a third of the time and half of the memory of `import pyroute2`, whose package file loads
          every subsystem it has; if the package was imported whole already, that one is used
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from typing import Any

_PACKAGE = "pyroute2"


def iproute_class() -> Any:
    """pyroute2's AsyncIPRoute (it has no types)."""
    _enter_package()
    return importlib.import_module("pyroute2.iproute.linux").AsyncIPRoute


def netlink_error_class() -> type[Exception]:
    """pyroute2's NetlinkError; `code` is the errno."""
    _enter_package()
    found: type[Exception] = importlib.import_module("pyroute2.netlink.exceptions").NetlinkError
    return found


def _enter_package() -> None:
    """Make the package importable from without running its package file."""
    if _PACKAGE in sys.modules:
        return
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None:
        raise ModuleNotFoundError(_PACKAGE)
    sys.modules[_PACKAGE] = importlib.util.module_from_spec(spec)
