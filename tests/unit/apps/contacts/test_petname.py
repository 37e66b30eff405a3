"""Petnames: host labels and file names that mean a person and nothing else."""

from __future__ import annotations

import pytest

from dexmesh.apps.contacts.petname import check_petname, is_petname, petname_from
from dexmesh.errors import ContactError
from tests.unit.apps.contacts.samples import STUART_KEY


@pytest.mark.parametrize("text", ["bob", "b", "a-b-c", "42", "x" * 63])
def test_labels_are_petnames(text: str) -> None:
    assert check_petname(text) == text


@pytest.mark.parametrize(
    "text",
    ["", "Bob", "-bob", "bob-", "b.ob", "b/ob", "..", "bob\n", "bób", "x" * 64, "localhost", "me"],
)
def test_everything_else_is_none(text: str) -> None:
    assert not is_petname(text)
    with pytest.raises(ContactError):
        check_petname(text)


def test_a_key_is_no_petname() -> None:
    with pytest.raises(ContactError, match="a key is no petname"):
        check_petname(STUART_KEY.removesuffix(".k"))


@pytest.mark.parametrize(
    ("name", "petname"),
    [
        ("Stuart Cheshire", "stuart-cheshire"),
        ("Zoë van Dijk", "zoe-van-dijk"),
        ("  Søren -- Größe ", "soren-grosse"),
        ("../../etc/passwd", "etc-passwd"),
        ("李明", ""),
        ("", ""),
        ("localhost", ""),
        ("a" * 62 + " b", "a" * 62),
    ],
)
def test_a_petname_is_made_of_a_name(name: str, petname: str) -> None:
    assert petname_from(name) == petname


def test_a_refusal_proposes_what_would_do() -> None:
    with pytest.raises(ContactError) as caught:
        check_petname("Zoë")
    assert "Try zoe." in caught.value.hint
