"""Every group of the captured vectors is played by a test: pytest's, or the engine's in Rust."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.vectors.loading import load

ROOT = Path(__file__).resolve().parents[2]
PYTHON_PLAYERS = [
    path for folder in ("vectors", "mirror") for path in (ROOT / "tests" / folder).glob("*.py")
]
RUST_PLAYERS = [*(ROOT / "rust/engine/tests").glob("*.rs")]
# Where the capture comes from: nothing to play.
ORIGINS = {"about", "format", "captured_from", "also_checked_against"}
NAMED_BY_SCENARIOS = "users"  # its lists are asked for by what stands in a scenario


def groups_of(vectors: dict[str, Any]) -> Iterator[str]:
    """The names of all groups, and of the groups within groups."""
    for name, group in vectors.items():
        if name in ORIGINS:
            continue
        yield name
        if isinstance(group, dict) and name != NAMED_BY_SCENARIOS:
            yield from (inner for inner, cases in group.items() if is_group(cases))


def is_group(value: Any) -> bool:
    """A list of cases, or a dictionary that holds one."""
    cases = value.get("cases") if isinstance(value, dict) else value
    return isinstance(cases, list) and all(isinstance(case, dict) for case in cases)


def names_used_in_python(source: str) -> set[str]:
    """Every text that is looked up or handed to a function; not what is only written about."""
    used: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        places: list[ast.expr] = []
        if isinstance(node, ast.Subscript):
            places = [node.slice]
        elif isinstance(node, ast.Call):
            places = node.args
        used |= {
            place.value
            for place in places
            if isinstance(place, ast.Constant) and isinstance(place.value, str)
        }
    return used


def names_used_in_rust(source: str) -> set[str]:
    """Every word in quotes outside comments."""
    code = re.sub(r"//.*", "", source)
    return set(re.findall(r'"(\w+)"', code))


def names_used() -> set[str]:
    used: set[str] = set()
    for path in PYTHON_PLAYERS:
        used |= names_used_in_python(path.read_text(encoding="utf-8"))
    for path in RUST_PLAYERS:
        used |= names_used_in_rust(path.read_text(encoding="utf-8"))
    return used


@pytest.mark.parametrize("file", ["switch.json", "cryptoauth.json"])
def test_every_group_is_played_by_a_test(file: str) -> None:
    groups = set(groups_of(load(file)))
    assert len(groups) >= 8
    assert groups - names_used() == set()


def test_every_list_of_users_is_named_by_a_scenario() -> None:
    vectors = load("cryptoauth.json")
    named = {scenario["reference_users"] for scenario in vectors["scenarios"]}
    assert named == vectors[NAMED_BY_SCENARIOS].keys()


def test_a_group_is_not_played_by_being_mentioned() -> None:
    python = '"""About `new_group` and "new_group"."""\nnew_group = 1  # VECTORS["new_group"]\n'
    assert names_used_in_python(python) == set()
    assert names_used_in_python('VECTORS["new_group"], cases("other")') == {"new_group", "other"}
    assert names_used_in_rust('// vectors("new_group")\nlet a = vectors("other");') == {"other"}
    assert set(groups_of({"a": {"cases": [{}], "note": "", "b": [{}], "c": [1]}})) == {
        "a",
        "b",
        "cases",
    }
