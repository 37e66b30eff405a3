"""Cut lists into pages, the way cjdns numbers them.

Place     registry.py and functions/* -> here
Spec      docs/protocol/08 §2 (newest first inside a page) and §5
Keeps     any number is a page: beyond the end, or below zero, it is empty
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def page_of(items: Sequence[T], number: int | None, size: int) -> tuple[list[T], bool]:
    """Page `number` (None is the first) in natural order, and whether entries remain behind it."""
    start = (number or 0) * size
    if start < 0:
        return [], False
    return list(items[start : start + size]), start + size < len(items)


def newest_first(items: Sequence[T]) -> list[T]:
    """The entries of a page as the original's handlers list them."""
    return list(reversed(items))
