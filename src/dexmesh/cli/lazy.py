"""Let commands wait until somebody asks for one: `dexmesh up` shall not read mail's modules.

Place     cli/main.py -> here -> typer
Spec      docs/decisions/0008 (the start of the program is measured)
Keeps     looks to everybody like a group with all its commands; a module is imported when a command of
          it is used, and not for a line in the help
Not here  which commands there are (main.py)
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any, ClassVar

from typer.core import TyperCommand, TyperGroup
from typer.main import get_group_from_info
from typer.models import TyperInfo

from dexmesh.values import dataclass


@dataclass(frozen=True, slots=True)
class Waiting:
    """Where a command is, and its line in the help of the root.

    `module`: a group, the `app` there. `module:commands`: the command of that name among those there.
    """

    place: str
    summary: str


class LazyGroup(TyperGroup):
    """The root of all commands. Subclasses name what waits in `waiting`."""

    waiting: ClassVar[Mapping[str, Waiting]] = {}
    """In the order of the help."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self._lazy = _Commands(self, dict(self.commands), self.waiting)
        self.commands = self._lazy

    def list_commands(self, ctx: Any) -> list[str]:
        """The names, without a look at what they stand for."""
        return list(self.commands)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """The help, with a line for whatever waits."""
        self._lazy.is_shown = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self._lazy.is_shown = False


class _Commands(MutableMapping[str, Any]):
    """Commands by name; what is not there yet is fetched when it is asked for.

    `is_shown`: only its line in the help is wanted.
    """

    def __init__(
        self, root: TyperGroup, there: dict[str, Any], waiting: Mapping[str, Waiting]
    ) -> None:
        self.is_shown = False
        self._root = root
        self._there = there
        self._waiting = waiting

    def __getitem__(self, name: str) -> Any:
        if name not in self._there and name in self._waiting:
            if self.is_shown:
                return TyperCommand(name, help=self._waiting[name].summary)
            self._there[name] = self._fetch(name)
        return self._there[name]

    def __iter__(self) -> Iterator[str]:
        own = (name for name in self._there if name not in self._waiting)
        yield from (*own, *self._waiting)

    def __len__(self) -> int:
        return len(self._there.keys() | self._waiting.keys())

    def __setitem__(self, name: str, command: Any) -> None:
        self._there[name] = command

    def __delitem__(self, name: str) -> None:
        del self._there[name]

    def _fetch(self, name: str) -> Any:
        module, _, several = self._waiting[name].place.partition(":")
        group = get_group_from_info(
            TyperInfo(getattr(importlib.import_module(module), several or "app"), name=name),
            pretty_exceptions_short=False,
            rich_markup_mode=self._root.rich_markup_mode,
            suggest_commands=self._root.suggest_commands,
        )
        return group.commands[name] if several else group
