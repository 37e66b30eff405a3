"""Offer what a client needs to talk to the server at all.

Place     assembly.py registers them
Spec      docs/protocol/08 §6.1, §5 (pages)
"""

from __future__ import annotations

from dexmesh.admin.registry import Arguments, Caller, Function, Kind, Registry, optional
from dexmesh.admin.values import Answer


def admin_functions(registry: Registry) -> list[Function]:
    """`ping` and the `Admin_` functions that need no file descriptors."""

    def available_functions(arguments: Arguments, _caller: Caller) -> Answer:
        return registry.page(arguments.number("page") or 0)

    return [
        Function("ping", _ping, needs_auth=False),
        Function("Admin_asyncEnabled", _async_enabled, needs_auth=False),
        Function(
            "Admin_availableFunctions",
            available_functions,
            (optional("page", Kind.INT),),
            needs_auth=False,
        ),
    ]


def _ping(_arguments: Arguments, _caller: Caller) -> Answer:
    return {"q": "pong"}


def _async_enabled(_arguments: Arguments, caller: Caller) -> Answer:
    return {"asyncEnabled": caller.is_tracked}
