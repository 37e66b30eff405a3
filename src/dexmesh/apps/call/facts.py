"""Describe callers, calls and entries of the history to programs, as JSON objects.

Place     service.py, control_calls.py -> here -> cli/
Spec      ours: docs/apps/phone-control.md
Not here  how it looks on a terminal (cli/call_words.py)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dexmesh.apps.call.phone.identity import Caller
from dexmesh.apps.call.phone.values import CallView, Presence
from dexmesh.apps.call.store.tables import Entry
from dexmesh.wire.address import Address, format_address


def caller_facts(caller: Caller) -> dict[str, Any]:
    """The other side: what is certain (address, petname), and what it says of itself."""
    return {
        "address": format_address(caller.address),
        "petname": caller.petname or "",
        "is_contact": caller.is_contact,
        "claimed_user": caller.claimed_user,
        "claimed_name": caller.claimed_name,
        "is_flagged": caller.is_flagged,
    }


def call_facts(view: CallView, statistics: dict[str, Any] | None) -> dict[str, Any]:
    """A call that is under way."""
    codec = None if view.plan is None else view.plan.agreed.sound.format.name
    return {
        "call": view.call,
        "state": view.state,
        "user": view.user,
        "peer": caller_facts(view.peer),
        "is_outgoing": view.is_outgoing,
        "is_voicemail": view.is_machine,
        "codec": codec,
        "held_here": view.held_here,
        "held_there": view.held_there,
        "talked_s": round(view.talked_s, 1),
        "statistics": statistics,
    }


def presence_facts(presence: Presence | None, now: float) -> dict[str, Any]:
    """Whether a phone answers, and what it takes (null: it says nothing). `now`: monotonic seconds."""
    methods = frozenset() if presence is None else presence.methods
    return {
        "is_there": presence is not None and presence.is_there,
        "takes_calls": "INVITE" in methods if methods else None,
        "takes_texts": "MESSAGE" in methods if methods else None,
        "methods": sorted(methods),
        "age_s": 0.0 if presence is None else round(now - presence.asked_at, 1),
    }


def entry_facts(entry: Entry, petname_of: Callable[[Address, str], str | None]) -> dict[str, Any]:
    """A call or a text of the history."""
    return {
        "number": entry.number,
        "kind": str(entry.kind),
        "is_outgoing": entry.is_outgoing,
        "address": format_address(entry.address),
        "petname": petname_of(entry.address, entry.remote_user) or "",
        "user": entry.remote_user,
        "claimed_name": entry.claimed_name,
        "is_request": entry.is_request,
        "is_flagged": entry.is_flagged,
        "at_unix": round(entry.at_unix, 3),
        "state": str(entry.state),
        "reason": entry.reason,
        "talked_s": round(entry.talked_s, 1),
        "text": entry.text,
        "mail": entry.mail,
        "is_seen": entry.is_seen,
    }
