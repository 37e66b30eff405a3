"""Hold the table of functions: what there is, what it takes, and who may call it.

Place     functions/* fill it -> server.py looks up, checks arguments, calls
Spec      docs/protocol/08 §3 (argument checking), §5 (pages of Admin_availableFunctions)
Keeps     a handler sees only arguments that are registered, of the right type
Not here  what the functions do (functions/*)
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
from enum import Enum
from typing import TypeAlias, TypeVar

from dexmesh.admin.auth import Source
from dexmesh.admin.paging import page_of
from dexmesh.admin.values import Answer, Value
from dexmesh.errors import BadArgumentError, UsageError
from dexmesh.values import dataclass
from dexmesh.wire.bencode import BencodeDict, BencodeValue

FUNCTIONS_PER_PAGE = 8  # 08 §5

Argued = TypeVar("Argued", bytes, str, int)


class Kind(Enum):
    """Type of an argument, by its name on the wire."""

    STRING = "String"
    INT = "Int"
    DICT = "Dict"
    LIST = "List"


_PYTHON_TYPES: dict[Kind, type] = {
    Kind.STRING: bytes,
    Kind.INT: int,
    Kind.DICT: dict,
    Kind.LIST: list,
}


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a function."""

    name: str
    kind: Kind
    is_required: bool


def required(name: str, kind: Kind = Kind.STRING) -> Argument:
    """An argument without which the function is not called."""
    return Argument(name, kind, is_required=True)


def optional(name: str, kind: Kind = Kind.STRING) -> Argument:
    """An argument that may be missing; of the wrong type it counts as missing."""
    return Argument(name, kind, is_required=False)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and when. `is_tracked`: replies may come later (08 §4.1)."""

    source: Source
    txid: bytes
    is_tracked: bool
    now: float
    unix_ms: int


class Arguments:
    """The arguments of one call, checked. A missing one is None."""

    __slots__ = ("_values",)

    def __init__(self, values: dict[str, BencodeValue]) -> None:
        self._values = values

    def octets(self, name: str) -> bytes | None:
        """A String as it came."""
        value = self._values.get(name)
        return value if isinstance(value, bytes) else None

    def text(self, name: str) -> str | None:
        """A String that has to be UTF-8; BadArgumentError if it is not."""
        octets = self.octets(name)
        try:
            return None if octets is None else octets.decode()
        except UnicodeDecodeError:
            raise BadArgumentError(name, f"Entry [{name}] is not UTF-8 text") from None

    def number(self, name: str) -> int | None:
        """An Int."""
        value = self._values.get(name)
        return value if isinstance(value, int) else None

    def required_texts(self, name: str) -> list[str]:
        """A List that is registered as required; every element has to be UTF-8 text."""
        values = self._values.get(name)
        if not isinstance(values, list):
            raise UsageError(f"argument {name} is not registered as a required list")
        try:
            return [str(one, "utf-8") for one in values if isinstance(one, bytes)]
        except UnicodeDecodeError:
            raise BadArgumentError(name, f"Entry [{name}] is not UTF-8 text") from None

    def required_octets(self, name: str) -> bytes:
        """A String that is registered as required."""
        return _there(self.octets(name), name)

    def required_text(self, name: str) -> str:
        """A String that is registered as required and has to be UTF-8."""
        return _there(self.text(name), name)

    def required_number(self, name: str) -> int:
        """An Int that is registered as required."""
        return _there(self.number(name), name)


def _there(value: Argued | None, name: str) -> Argued:
    if value is None:
        raise UsageError(f"argument {name} is not registered as required")
    return value


Outcome: TypeAlias = Answer | Awaitable[Answer] | AsyncGenerator[Answer, None]
Handler: TypeAlias = Callable[[Arguments, Caller], Outcome]
"""A plain function answers at once, a coroutine function later, an async generator many times."""


@dataclass(frozen=True, slots=True)
class Function:
    """One function of the RPC."""

    name: str
    handler: Handler
    arguments: tuple[Argument, ...] = ()
    needs_auth: bool = True

    @property
    def is_late(self) -> bool:
        """Whether its answers come later."""
        handler = self.handler
        return inspect.iscoroutinefunction(handler) or inspect.isasyncgenfunction(handler)

    def check(self, given: BencodeDict) -> Arguments:
        """The arguments that are registered and of the right type.

        Raises BadArgumentError for a required one that is not there.
        """
        values: dict[str, BencodeValue] = {}
        for argument in self.arguments:
            value = given.get(argument.name.encode())
            if value is not None and isinstance(value, _PYTHON_TYPES[argument.kind]):
                values[argument.name] = value
            elif argument.is_required:
                raise BadArgumentError(
                    argument.name,
                    f"Entry [{argument.name}] is required and must be of type"
                    f" [{argument.kind.value}]",
                )
        return Arguments(values)


class Registry:
    """Every function of a server, in the order of registration."""

    def __init__(self, functions: Iterable[Function] = ()) -> None:
        self._functions: dict[bytes, Function] = {}
        for function in functions:
            self.learn(function)

    def learn(self, function: Function) -> None:
        """Offer one more function; UsageError for a name that is taken."""
        name = function.name.encode()
        if name in self._functions:
            raise UsageError(f"{function.name} is registered twice")
        self._functions[name] = function

    def find(self, name: bytes, *, is_authenticated: bool) -> Function | None:
        """The function of that name, if this caller may call it."""
        function = self._functions.get(name)
        if function is None or (function.needs_auth and not is_authenticated):
            return None
        return function

    def page(self, number: int) -> Answer:
        """One page of Admin_availableFunctions; `more` whenever the page is full."""
        shown, _ = page_of(list(self), number, FUNCTIONS_PER_PAGE)
        functions: Answer = {function.name: _described(function) for function in shown}
        full: Answer = {"more": 1} if len(shown) == FUNCTIONS_PER_PAGE else {}
        return {"availableFunctions": functions, **full}

    def __iter__(self) -> Iterator[Function]:
        return iter(self._functions.values())


def _described(function: Function) -> Value:
    return {
        argument.name: {"required": argument.is_required, "type": argument.kind.value}
        for argument in function.arguments
    }
