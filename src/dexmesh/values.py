"""Make frozen dataclasses at a quarter of the price: the same decorator, less compiled at import.

Place     every module with values -> here -> dataclasses
Spec      docs/decisions/0008 (what it saves)
Keeps     a frozen class with slots behaves as one of `dataclasses`: construction, equality, hash,
          repr, matching, replace(), copies; type checkers see the original
Not here  classes that are not frozen: `dataclasses` makes them

`dataclasses` writes the source text of six functions for each class and compiles it: a third of the
time from the start of the program to its first packet. Only `__init__` needs a text of its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import field as field
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NoReturn

Method = Callable[..., Any]
Values = Callable[[object], tuple[object, ...]]


def _dataclass(
    cls: type | None = None, /, *, frozen: bool = False, slots: bool = False, eq: bool = True
) -> Any:
    """As `dataclasses.dataclass`."""
    if cls is None:
        return lambda one: _dataclass(one, frozen=frozen, slots=slots, eq=eq)
    if not (frozen and slots):
        return dataclasses.dataclass(cls, frozen=frozen, slots=slots, eq=eq)
    return _frozen(cls, eq)


if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:
    dataclass = _dataclass


def _frozen(cls: type, eq: bool) -> type:
    own = dict(cls.__dict__)
    cls.__doc__ = cls.__doc__ or cls.__name__  # else `inspect` is asked, at length
    made: Any = dataclasses.dataclass(cls, init=False, repr=False, eq=False, slots=True)
    made.__dataclass_params__.frozen = True
    fields = dataclasses.fields(made)
    methods = {
        "__init__": _init(made, fields),
        "__repr__": _repr([one.name for one in fields if one.repr]),
        "__setattr__": _refuse_to_set,
        "__delattr__": _refuse_to_delete,
        "__reduce__": _reduce(_values_of([one.name for one in fields if one.init])),
    }
    if eq:
        compared = _values_of([one.name for one in fields if one.compare])
        methods |= {"__eq__": _eq(compared), "__hash__": _hash(compared)}
    for name, method in methods.items():
        if own.get(name) is None:  # what the class defines itself stays
            setattr(made, name, method)
    finished: type = made
    return finished


def _init(cls: type, fields: Sequence[dataclasses.Field[Any]]) -> Method:
    """A function that takes the fields as arguments; the only one that is compiled."""
    names: dict[str, Any] = {"_put": object.__setattr__, "_absent": dataclasses.MISSING}
    parameters, lines = ["self"], []
    for number, one in enumerate(fields):
        if one.kw_only or not (one.init or _has_no_default(one)):
            raise TypeError(f"{cls.__name__}.{one.name}: use dataclasses for such a field")
        if not one.init:
            continue  # __post_init__ gives it its value
        parameter = value = one.name
        if one.default is not dataclasses.MISSING:
            names[f"_default{number}"] = one.default
            parameter = f"{one.name}=_default{number}"
        elif one.default_factory is not dataclasses.MISSING:
            names[f"_make{number}"] = one.default_factory
            parameter = f"{one.name}=_absent"
            value = f"_make{number}() if {one.name} is _absent else {one.name}"
        parameters.append(parameter)
        lines.append(f"_put(self, {one.name!r}, {value})")
    if hasattr(cls, "__post_init__"):
        lines.append("self.__post_init__()")
    body = "\n ".join(lines) or "pass"
    exec(f"def __init__({', '.join(parameters)}):\n {body}", names)  # noqa: S102 a text of our own
    init: Method = names["__init__"]
    init.__qualname__ = f"{cls.__qualname__}.__init__"
    return init


def _has_no_default(one: dataclasses.Field[Any]) -> bool:
    return one.default is one.default_factory is dataclasses.MISSING


def _values_of(names: Sequence[str]) -> Values:
    """A function that takes these attributes from an object, all at once."""
    if len(names) > 1:
        return attrgetter(*names)
    return lambda one: tuple(getattr(one, name) for name in names)


def _eq(compared: Values) -> Method:
    def __eq__(self: object, other: object) -> bool:  # noqa: N807
        if other.__class__ is not self.__class__:
            return NotImplemented
        return compared(self) == compared(other)

    return __eq__


def _hash(compared: Values) -> Method:
    def __hash__(self: object) -> int:  # noqa: N807
        return hash(compared(self))

    return __hash__


def _repr(names: Sequence[str]) -> Method:
    def __repr__(self: object) -> str:  # noqa: N807
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
        return f"{self.__class__.__qualname__}({shown})"

    return __repr__


def _reduce(values: Values) -> Method:
    """Copies and pickles: the class and its arguments."""

    def __reduce__(self: object) -> tuple[type, tuple[object, ...]]:  # noqa: N807
        return self.__class__, values(self)

    return __reduce__


def _refuse_to_set(_self: object, name: str, _value: object) -> NoReturn:
    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_to_delete(_self: object, name: str) -> NoReturn:
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")
