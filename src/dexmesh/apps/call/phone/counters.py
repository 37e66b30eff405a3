"""Count what the phone did and refused, and why.

Place     core.py and its parts count -> the service shows
Spec      docs/apps/sip.md §3
Keeps     one number for each member of `Count`, so never more than that many
Not here  what the transactions count (sip/transaction.py)
"""

from __future__ import annotations

from collections import Counter
from enum import StrEnum


class Count(StrEnum):
    """Everything that is counted, in words a person reads."""

    CALL_IN = "calls received"
    CALL_OUT = "calls made"
    CALL_UP = "calls answered"
    CALL_MISSED = "calls missed"
    TEXT_IN = "texts received"
    TEXT_OUT = "texts sent"
    TEXT_TWICE = "texts received twice"
    RECEIPT = "receipts"
    PROBE = "questions whether we are there"

    NOT_MESH = "refused: not from the mesh"
    JUNK = "refused: no SIP message"
    STRAY_ANSWER = "refused: answers to nothing"
    TOO_FAST = "refused: too many requests from one node"
    STRANGERS_TOO_FAST = "refused: too many requests from strangers"
    TOO_MANY_CALLS = "refused: too many calls"
    TOO_MANY_TEXTS = "refused: too many texts"
    FORGED = "refused: From names another node"
    NOT_OURS = "refused: from another program of this machine"
    BLOCKED = "refused: blocked"
    WRONG_PEER = "refused: of a call with somebody else"
    NO_USER = "refused: nobody of that name"
    STRANGER = "refused: calls of strangers"
    BUSY = "refused: busy"
    DO_NOT_DISTURB = "refused: do not disturb"
    NO_COMMON_CODEC = "refused: no common codec"
    BAD_REQUEST = "refused: requests that make no sense"
    BAD_CONTENT = "refused: content not understood"
    BAD_EXTENSION = "refused: extensions not supported"
    BAD_METHOD = "refused: methods not served"
    NO_DIALOG = "refused: of no call"
    OUT_OF_TURN = "refused: changes that crossed or came in the wrong order"
    BAD_ANSWER = "answers without usable media"


class Counters:
    """One per phone; counts since the start."""

    __slots__ = ("_numbers",)

    def __init__(self) -> None:
        self._numbers: Counter[Count] = Counter()

    def add(self, count: Count) -> None:
        """Count one more."""
        self._numbers[count] += 1

    def __getitem__(self, count: Count) -> int:
        return self._numbers[count]

    def snapshot(self) -> dict[str, int]:
        """Everything counted at least once: words a person reads -> number."""
        return {str(count): self._numbers[count] for count in Count if self._numbers[count]}
