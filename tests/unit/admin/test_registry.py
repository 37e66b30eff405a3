"""The table of functions, and pages of lists."""

from __future__ import annotations

import pytest

from dexmesh.admin.paging import newest_first, page_of
from dexmesh.admin.registry import (
    Arguments,
    Caller,
    Function,
    Kind,
    Registry,
    optional,
    required,
)
from dexmesh.admin.values import Answer, encode_answer
from dexmesh.errors import BadArgumentError, UsageError


def nothing(_arguments: Arguments, _caller: Caller) -> Answer:
    return {}


def registry_of(count: int) -> Registry:
    return Registry(Function(f"F{number:02}", nothing) for number in range(count))


def test_a_full_page_of_functions_says_more_even_if_it_is_the_last() -> None:
    registry = registry_of(8)
    assert registry.page(0)["more"] == 1
    assert registry.page(1) == {"availableFunctions": {}}
    assert "more" not in registry_of(7).page(0)


def test_a_page_describes_every_argument() -> None:
    function = Function("F", nothing, (required("a"), optional("b", Kind.INT)))
    assert encode_answer(Registry([function]).page(0), b"") == (
        b"d18:availableFunctionsd1:Fd"
        b"1:ad8:requiredi1e4:type6:Stringe1:bd8:requiredi0e4:type3:Inteeee"
    )


def test_a_name_is_registered_once() -> None:
    with pytest.raises(UsageError):
        Registry([Function("F", nothing), Function("F", nothing)])


def test_a_handler_sees_registered_arguments_only() -> None:
    function = Function("F", nothing, (required("a"), optional("n", Kind.INT)))
    arguments = function.check({b"a": b"x", b"n": b"5", b"other": b"y"})
    assert arguments.required_text("a") == "x"
    assert arguments.number("n") is None
    assert arguments.text("other") is None


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (Kind.STRING, b"x", 1),
        (Kind.INT, 1, b"1"),
        (Kind.LIST, [], {}),
        (Kind.DICT, {}, []),
    ],
)
def test_required_arguments_are_checked_by_kind(kind: Kind, good: object, bad: object) -> None:
    function = Function("F", nothing, (required("a", kind),))
    function.check({b"a": good})  # type: ignore[dict-item]
    with pytest.raises(BadArgumentError, match=kind.value):
        function.check({b"a": bad})  # type: ignore[dict-item]


def test_asking_for_an_argument_that_is_not_registered_as_required_is_our_mistake() -> None:
    with pytest.raises(UsageError):
        Arguments({}).required_text("a")
    with pytest.raises(UsageError):
        Arguments({}).required_number("a")


@pytest.mark.parametrize(
    ("number", "shown", "has_more"),
    [
        (None, [0, 1, 2], True),
        (0, [0, 1, 2], True),
        (1, [3, 4, 5], True),
        (2, [6], False),
        (3, [], False),
        (-1, [], False),
        ((1 << 63) - 1, [], False),
        (-(1 << 63), [], False),
    ],
)
def test_any_number_is_a_page(number: int | None, shown: list[int], has_more: bool) -> None:
    assert page_of(range(7), number, 3) == (shown, has_more)


def test_an_exactly_full_last_page_has_no_more_behind_it() -> None:
    assert page_of(range(6), 1, 3) == ([3, 4, 5], False)


def test_entries_are_listed_newest_first() -> None:
    assert newest_first([1, 2, 3]) == [3, 2, 1]


def test_answers_are_written_with_sorted_keys_text_and_truth_values() -> None:
    answer: Answer = {"b": True, "a": "ä", "c": [b"\xff", {"y": 1, "x": 0}]}
    expected = b"d1:a2:\xc3\xa41:bi1e1:cl1:\xffd1:xi0e1:yi1eee4:txid1:te"
    assert encode_answer(answer, b"t") == expected
