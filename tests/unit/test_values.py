"""Our frozen classes behave as those of the library: each test asks both the same."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from dexmesh import values


def _families(decorate: Callable[..., Any]) -> dict[str, Any]:
    """The same classes, made by this decorator."""

    @decorate(frozen=True, slots=True)
    class Point:
        """A place."""

        x: int
        y: int = 2
        seen: list[int] = dataclasses.field(default_factory=list, compare=False, repr=False)

        @property
        def sum(self) -> int:
            return self.x + self.y

    @decorate(frozen=True, slots=True)
    class Derived:
        x: int
        double: int = dataclasses.field(init=False)

        def __post_init__(self) -> None:
            object.__setattr__(self, "double", 2 * self.x)

    @decorate(frozen=True, slots=True)
    class Empty:
        pass

    @decorate(frozen=True, slots=True)
    class One:
        only: tuple[int, ...] | None = None

    @decorate(frozen=True, slots=True)
    class Secret:
        key: bytes

        def __post_init__(self) -> None:
            if not self.key:
                raise ValueError("empty")

        def __repr__(self) -> str:
            return "<secret>"

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 7

    @decorate(frozen=True, slots=True, eq=False)
    class Named:
        name: str

    @decorate(slots=True)
    class Open:
        x: int

    return {one.__name__: one for one in (Point, Derived, Empty, One, Secret, Named, Open)}


OURS, THEIRS = _families(values._dataclass), _families(dataclasses.dataclass)
BOTH = pytest.mark.parametrize("made", [OURS, THEIRS], ids=["ours", "the library's"])


@BOTH
def test_values_are_built_by_position_name_and_default(made: dict[str, Any]) -> None:
    point = made["Point"]
    assert (point(1).x, point(1).y, point(1).seen, point(1).sum) == (1, 2, [], 3)
    assert point(1).seen is not point(1).seen
    assert point(y=3, x=1, seen=[4]) == point(1, 3)
    with pytest.raises(TypeError, match=r"Point\.__init__\(\) missing 1 required .* 'x'"):
        point()
    with pytest.raises(TypeError, match="unexpected keyword"):
        point(1, z=2)
    assert list(inspect.signature(point).parameters) == ["x", "y", "seen"]
    assert (made["Derived"](2).double, made["Derived"](2)) == (4, made["Derived"](2))
    with pytest.raises(TypeError, match="positional argument"):
        made["Derived"](2, 4)
    with pytest.raises(ValueError, match="empty"):
        made["Secret"](b"")


@BOTH
def test_equal_values_are_equal_and_hash_alike_only_within_their_class(
    made: dict[str, Any],
) -> None:
    point, one = made["Point"], made["One"]
    assert point(1) == point(1, 2, [5])
    assert hash(point(1)) == hash(point(1, 2, [5]))
    assert point(1) != point(2)
    assert point(1) != (1, 2)
    assert one() != made["Empty"]()
    assert {made["Empty"](), made["Empty"]()} == {made["Empty"]()}
    assert one((1,)) != one((1, 2))
    named = made["Named"]("n")
    assert len({named, named, made["Named"]("n")}) == 2
    assert made["Open"](1) == made["Open"](1)
    with pytest.raises(TypeError, match="unhashable"):
        hash(made["Open"](1))
    with pytest.raises(TypeError, match="unhashable"):
        hash(one([1]))


@BOTH
def test_what_a_class_defines_itself_stays(made: dict[str, Any]) -> None:
    secret = made["Secret"]
    assert repr(secret(b"k")) == "<secret>"
    assert secret(b"k") == secret(b"other")
    assert hash(secret(b"k")) == 7


@BOTH
def test_a_value_shows_its_fields(made: dict[str, Any]) -> None:
    assert repr(made["Point"](1)).endswith("Point(x=1, y=2)")
    assert repr(made["Empty"]()).endswith("Empty()")
    assert made["Point"].__doc__ == "A place."


@BOTH
def test_nothing_of_a_value_can_be_changed_added_or_removed(made: dict[str, Any]) -> None:
    point = made["Point"](1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        point.x = 5
    with pytest.raises((dataclasses.FrozenInstanceError, TypeError)):  # the library's trips itself
        point.other = 5
    with pytest.raises(dataclasses.FrozenInstanceError):
        del point.x
    assert not hasattr(point, "__dict__")
    made["Open"](1).x = 2


@BOTH
def test_the_tools_for_dataclasses_work(made: dict[str, Any]) -> None:
    point = made["Point"](1)
    assert dataclasses.is_dataclass(type(point))
    assert dataclasses.replace(point, y=9) == made["Point"](1, 9)
    assert dataclasses.asdict(point) == {"x": 1, "y": 2, "seen": []}
    assert copy.copy(point) == copy.deepcopy(point) == point
    assert copy.copy(made["Derived"](2)).double == 4
    assert copy.copy(made["One"]((1, 2))).only == (1, 2)
    assert made["Point"].__match_args__ == ("x", "y", "seen")


@values.dataclass(frozen=True, slots=True)
class Travels:
    """At the top of a module, as pickle needs it."""

    place: str


def test_values_can_be_pickled() -> None:
    assert pickle.loads(pickle.dumps(Travels("far"))) == Travels("far")


@BOTH
def test_frozen_classes_mix_with_no_others_in_a_hierarchy(made: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="frozen"):
        dataclasses.dataclass(type("Open", (made["Point"],), {}))


def test_what_is_not_supported_is_refused_where_the_class_is_made() -> None:
    with pytest.raises(TypeError, match=r"Odd\.x: use dataclasses"):

        @values._dataclass(frozen=True, slots=True)
        class Odd:
            x: int = dataclasses.field(kw_only=True)
