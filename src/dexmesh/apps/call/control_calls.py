"""Offer everything `dexmesh phone`, `call`, `text` and their sisters do to programs on this machine.

Place     apps/service.py -> register() -> service.py, texting.py, store/
Spec      ours: docs/apps/phone-control.md lists calls, arguments and results
Keeps     a caller sees and touches the calls and texts of the user he acts for and of nobody else;
          a seat that leaves its stream hangs up; arguments are checked, not believed
Not here  who may act for whom (base/control.py), how it looks on a terminal (cli/call*.py)
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

from dexmesh.apps.base.arguments import (
    Arguments,
    flag_of,
    number_of,
    require_user,
    text_of,
    texts_of,
)
from dexmesh.apps.base.carrier import MAX_TEXT_BYTES
from dexmesh.apps.base.control import Caller, ControlServer
from dexmesh.apps.call.codec import catalogue
from dexmesh.apps.call.facts import call_facts, entry_facts, presence_facts
from dexmesh.apps.call.media.formats import find_format
from dexmesh.apps.call.people import find_target
from dexmesh.apps.call.phone.states import State
from dexmesh.apps.call.phone.values import CallError, CallId, CallView, SeatMedia
from dexmesh.apps.call.preferences import SWITCHES
from dexmesh.apps.call.seats import SeatLine
from dexmesh.apps.call.service import PhoneService
from dexmesh.apps.call.store.tables import Kind, Question
from dexmesh.apps.call.texting import Texting
from dexmesh.apps.contacts.book import AddressBook
from dexmesh.errors import AppError
from dexmesh.wire.address import format_address, parse_address

MAX_ENTRIES = 1000  # ours: shown at once
MAX_STATISTICS = 64  # ours: fields a seat may tell

_ANSWERED = frozenset({State.ANSWERED.value, State.UP.value})


def register(
    server: ControlServer, service: PhoneService, texting: Texting, book: AddressBook
) -> None:
    """Offer `phone.*`, `call.*` and `text.*`."""
    calls = _Calls(service, book)
    server.register("phone.status", calls.status)
    server.register("phone.attach", calls.attach)
    server.register("phone.switch", calls.switch)
    server.register("phone.look", calls.look)
    server.register("call.dial", calls.dial)
    server.register("call.answer", calls.answer)
    server.register("call.stand_by", calls.stand_by)
    server.register("call.decline", calls.decline)
    server.register("call.hangup", calls.hang_up)
    server.register("call.hold", calls.hold)
    server.register("call.swap", calls.swap)
    server.register("call.digits", calls.digits)
    server.register("call.report", calls.report)
    server.register("call.list", calls.show)
    server.register("call.history", calls.history)
    texts = _Texts(service, texting, book)
    server.register("text.send", texts.send)
    server.register("text.list", texts.show)
    server.register("text.waiting", texts.waiting)
    server.register("text.retry", texts.retry)
    server.register("text.cancel", texts.cancel)
    server.register("text.mail", texts.send_as_mail)


class _Calls:
    """The calls about calls."""

    def __init__(self, service: PhoneService, book: AddressBook) -> None:
        self._service, self._book = service, book

    # --- The phone ----------------------------------------------------------------------------------

    async def status(self, caller: Caller, _arguments: Arguments) -> dict[str, Any]:
        """How the phone is doing, and what its user wants."""
        user = require_user(caller)
        wanted = self._service.preferences.of(user)
        return {
            "user": user,
            "address": format_address(self._service.me.address),
            "port": self._service.settings.port,
            "media_ports": list(self._service.settings.media_ports),
            "uris": self._service.uris(user),
            "switches": {name: getattr(wanted, name) for name in SWITCHES},
            "has_voicemail": wanted.has_voicemail,
            "strangers_ring": wanted.strangers_ring,
            "bells": self._service.seats.bells(user),
            "calls": self._views(user),
            "codecs": [
                {"name": one.name, "is_available": one.is_available, "package": one.package}
                for one in catalogue.codecs()
            ],
            "counters": self._service.counters(),
        }

    async def attach(self, caller: Caller, _arguments: Arguments) -> AsyncIterator[dict[str, Any]]:
        """Hear the bell: every call that rings, every missed one, every text, as it happens."""
        user = require_user(caller)
        line = self._service.seats.attach(user)
        line.tell({"event": "attached", "user": user})
        for event in self._service.ringing_for(user):
            line.tell(event)
        return self._until_left(line, lambda: self._service.seats.detach(line))

    async def switch(self, caller: Caller, arguments: Arguments) -> dict[str, Any]:
        """Switch do-not-disturb, automatic answers or call waiting on or off."""
        user, name = require_user(caller), text_of(arguments, "switch")
        wanted = self._service.preferences.choose(user, name, is_on=flag_of(arguments, "on"))
        self._service.phone.configure(user, wanted)
        return {one: getattr(wanted, one) for one in SWITCHES}

    async def look(self, caller: Caller, arguments: Arguments) -> dict[str, Any]:
        """Whether the phone of a contact answers, and what it takes."""
        user = require_user(caller)
        target = find_target(self._book, text_of(arguments, "to"))
        if self._book.petname_of(target.address) is None:
            raise CallError(
                f"{target.name} is no contact, and strangers are not asked",
                "`dexmesh contact add` takes somebody into the address book",
            )
        presence = await self._service.look(user, target.uri, target.address)
        facts = presence_facts(presence, time.monotonic())
        return {"to": target.name, "uri": target.uri.text, **facts}

    # --- One call -----------------------------------------------------------------------------------

    async def dial(self, caller: Caller, arguments: Arguments) -> AsyncIterator[dict[str, Any]]:
        """Call somebody; the items say how it goes, until it is over. Who leaves, hangs up.

        With `hold_others` the person's other calls are on hold meanwhile.
        """
        user, seat = require_user(caller), _seat(arguments)
        target = find_target(self._book, text_of(arguments, "to"))
        service = self._service
        call = service.phone.dial(user, target.uri, seat, time.monotonic())
        line = self._seated(call, user)
        first = {"event": "dialling", "call": call, "to": target.name, "uri": target.uri.text}
        line.tell(first)
        if flag_of(arguments, "hold_others"):
            self._hold_others(user, call)
        service.pump()
        return self._until_left(line, lambda: self._leave(call))

    async def answer(self, caller: Caller, arguments: Arguments) -> AsyncIterator[dict[str, Any]]:
        """Take a call that rings; the items say how it goes, until it is over. Who leaves, hangs up.

        With `hold_others` the person's other calls are on hold from now on.
        """
        user, seat = require_user(caller), _seat(arguments)
        view = self._ringing(user, arguments)
        line = self._seated(view.call, user)
        try:
            self._service.phone.answer(view.call, user, seat, time.monotonic())
        except CallError:
            self._service.seats.drop_call(view.call)
            raise
        if flag_of(arguments, "hold_others"):
            self._hold_others(user, view.call)
        line.tell({"event": "answering", **call_facts(view, None)})
        self._service.pump()
        return self._until_left(line, lambda: self._leave(view.call))

    async def stand_by(self, caller: Caller, arguments: Arguments) -> AsyncIterator[dict[str, Any]]:
        """Take the next call that answers itself (`all`: whatever rings), without a word from here.

        The items are those of `call.answer`, with `ringing` before them. Who leaves, hangs up.
        """
        user, seat = require_user(caller), _seat(arguments)
        seats = self._service.seats
        line = seats.stand_by(user, seat, takes_all=flag_of(arguments, "all"))

        def leave() -> None:
            call = seats.leave(line)
            if call is not None:
                self._leave(call)

        line.tell({"event": "standing_by"})
        return self._until_left(line, leave)

    def _seated(self, call: CallId, user: str) -> SeatLine:
        try:
            return self._service.seats.take_call(call, user)
        except AppError:
            if not self._service.seats.has_seat(call):
                self._service.phone.hang_up(call, time.monotonic())
                self._service.pump()
            raise

    def _leave(self, call: CallId) -> None:
        """The seat is gone: so is the call, if it is not over."""
        self._service.seats.drop_call(call)
        self._service.hang_up(call)

    async def _until_left(
        self, line: SeatLine, leave: Callable[[], None]
    ) -> AsyncIterator[dict[str, Any]]:
        try:
            async for event in line.take():
                yield event
        finally:
            leave()

    async def decline(self, caller: Caller, arguments: Arguments) -> dict[str, Any]:
        """Do not take a call that rings."""
        user = require_user(caller)
        view = self._ringing(user, arguments)
        self._service.phone.decline(view.call, time.monotonic(), user=user)
        self._service.pump()
        return {"call": view.call}

    async def hang_up(self, caller: Caller, arguments: Arguments) -> dict[str, Any]:
        """End a call, or decline one that rings."""
        user = require_user(caller)
        view = self._chosen(user, arguments)
        if self._service.rings(view.call, user):
            self._service.phone.decline(view.call, time.monotonic(), user=user)
        else:
            self._service.phone.hang_up(view.call, time.monotonic())
        self._service.pump()
        return {"call": view.call}

    async def hold(self, caller: Caller, arguments: Arguments) -> dict[str, Any]:
        """Hold a call, or go on with it: without a number the one that this can be about."""
        user, is_held = require_user(caller), flag_of(arguments, "on")
        fitting = [one for one in self._talking(user) if one.held_here is not is_held]
        view = self._fitting(fitting, user, arguments)
        change = self._service.phone.hold if is_held else self._service.phone.resume
        change(view.call, time.monotonic())
        self._service.pump()
        return {"call": view.call, "on": is_held}

    async def swap(self, caller: Caller, arguments: Arguments) -> dict[str, Any]:
        """Go on with a call that is on hold, and hold the others."""
        user = require_user(caller)
        held = [one for one in self._talking(user) if one.held_here]
        if not held:
            raise CallError("no call is on hold", "`dexmesh hold` holds one")
        view = _pick(held, arguments)
        others = self._hold_others(user, view.call)
        self._service.phone.resume(view.call, time.monotonic())
        self._service.pump()
        return {"call": view.call, "held": others}

    def _hold_others(self, user: str, call: CallId) -> list[CallId]:
        """Hold whomever else this person talks to; the caller pumps. Which calls that are."""
        talking = [one for one in self._talking(user) if one.call != call and not one.held_here]
        for one in talking:
            self._service.phone.hold(one.call, time.monotonic())
        return [one.call for one in talking]

    async def digits(self, caller: Caller, arguments: Arguments) -> dict[str, Any]:
        """Press keys in a call: without a number the one that is not on hold."""
        user = require_user(caller)
        heard = [one for one in self._talking(user) if not one.held_here]
        view = self._fitting(heard, user, arguments)
        digits = text_of(arguments, "digits", most=64)
        self._service.phone.dtmf(view.call, digits, time.monotonic())
        self._service.pump()
        return {"call": view.call, "digits": digits}

    async def report(self, caller: Caller, arguments: Arguments) -> dict[str, Any]:
        """A seat tells how its call sounds, or that nothing arrives any more."""
        view = self._chosen(require_user(caller), arguments)
        told = arguments.get("statistics")
        if isinstance(told, dict) and len(told) <= MAX_STATISTICS:
            self._service.statistics[view.call] = told
        if flag_of(arguments, "is_dead"):
            self._service.phone.handle_dead_media(view.call, time.monotonic())
            self._service.pump()
        return {}

    async def show(self, caller: Caller, _arguments: Arguments) -> dict[str, Any]:
        """The calls under way."""
        return {"calls": self._views(require_user(caller))}

    async def history(self, caller: Caller, arguments: Arguments) -> dict[str, Any]:
        """Calls and texts, oldest first; `seen` marks them as seen."""
        return await _entries(self._service, self._book, require_user(caller), arguments)

    # --- Which call ---------------------------------------------------------------------------------

    def _views(self, user: str) -> list[dict[str, Any]]:
        return [
            call_facts(view, self._service.statistics.get(view.call)) for view in self._mine(user)
        ]

    def _mine(self, user: str) -> list[CallView]:
        service = self._service
        views = service.phone.calls(time.monotonic())
        return [one for one in views if one.user == user or service.rings(one.call, user)]

    def _talking(self, user: str) -> list[CallView]:
        """The calls that somebody answered, on hold or not; those of voicemail are nobody's to hold."""
        mine = self._mine(user)
        return [one for one in mine if one.state in _ANSWERED and not one.is_machine]

    def _chosen(self, user: str, arguments: Arguments) -> CallView:
        """The one that is named; else the person's own before one that voicemail has."""
        mine = self._mine(user)
        own = [one for one in mine if not one.is_machine]
        is_named = arguments.get("call") is not None
        return _pick(mine if is_named or not own else own, arguments)

    def _fitting(self, fitting: list[CallView], user: str, arguments: Arguments) -> CallView:
        """The one that is named; else the only one that this can be about."""
        if arguments.get("call") is None and len(fitting) == 1:
            return fitting[0]
        return self._chosen(user, arguments)

    def _ringing(self, user: str, arguments: Arguments) -> CallView:
        ringing = [one for one in self._mine(user) if self._service.rings(one.call, user)]
        if not ringing and "call" not in arguments:
            raise CallError("nobody is calling", "`dexmesh calls` shows who did")
        return _pick(ringing, arguments)


def _pick(views: list[CallView], arguments: Arguments) -> CallView:
    """The call named by its number, or the only one."""
    if arguments.get("call") is not None:
        number = int(number_of(arguments, "call", 0, 1, 1 << 53))
        for view in views:
            if view.call == number:
                return view
        raise CallError(
            f"there is no call {number}", "`dexmesh phone status` shows those there are"
        )
    if not views:
        raise CallError("there is no call", "`dexmesh call NAME` begins one")
    if len(views) > 1:
        numbers = ", ".join(f"{one.call} ({one.peer.petname or 'a stranger'})" for one in views)
        raise CallError(f"there are several calls: {numbers}", "say which with --call")
    return views[0]


def _seat(arguments: Arguments) -> SeatMedia:
    port = int(number_of(arguments, "port", 0, 1024, 65534))
    names = texts_of(arguments, "codecs", most=16)
    formats = tuple(one for name in names if (one := find_format(name)) is not None)
    if not formats or port % 2:
        raise AppError("a seat has an even port and codecs")
    return SeatMedia(port, formats)


async def _entries(
    service: PhoneService, book: AddressBook, user: str, arguments: Arguments
) -> dict[str, Any]:
    """The entries asked for, oldest first; with `seen` these, and no others, are no news any more."""
    history = service.history
    with suppress(CallError):  # a full disk: he stays among the strangers for now
        await history.take_in(user, lambda address: book.petname_of(address) is not None)
    entries = await history.find(_question(user, arguments, book))
    if flag_of(arguments, "seen"):
        with suppress(CallError):  # likewise: they stay new
            await history.mark_seen(user, [one.number for one in entries if not one.is_seen])
    return {"entries": [entry_facts(one, book.petname_of) for one in entries]}


def _question(user: str, arguments: Arguments, book: AddressBook) -> Question:
    kind = text_of(arguments, "kind", "") or None
    if kind not in (None, *Kind):
        raise AppError(f"{kind!r} is no kind of entry")
    whom = text_of(arguments, "with", "")
    before = int(number_of(arguments, "before", 0, 0, 1 << 53))
    return Question(
        user,
        Kind(kind) if kind else None,
        address=find_target(book, whom).address if whom else None,
        is_request=_choice(arguments, "is_request"),
        is_seen=False if flag_of(arguments, "news") else None,
        before=before or None,
        limit=int(number_of(arguments, "limit", 50, 1, MAX_ENTRIES)),
    )


def _choice(arguments: Arguments, name: str) -> bool | None:
    return None if arguments.get(name) is None else flag_of(arguments, name)


class _Texts:
    """The calls about texts."""

    def __init__(self, service: PhoneService, texting: Texting, book: AddressBook) -> None:
        self._service, self._texting, self._book = service, texting, book

    async def send(self, caller: Caller, arguments: Arguments) -> dict[str, Any]:
        """Write a text; it is on the disk when this returns, and after `wait_s` often delivered."""
        user = require_user(caller)
        target = find_target(self._book, text_of(arguments, "to"))
        body = text_of(arguments, "text", most=MAX_TEXT_BYTES)
        wait_s = number_of(arguments, "wait_s", 0.0, 0.0, 60.0)
        sent = await self._texting.send(user, target, body, wait_s)
        return {"to": target.name, "uri": target.uri.text, **sent}

    async def show(self, caller: Caller, arguments: Arguments) -> dict[str, Any]:
        """Texts in and out, oldest first; `seen` marks them as read."""
        asked = {**arguments, "kind": str(Kind.TEXT)}
        return await _entries(self._service, self._book, require_user(caller), asked)

    async def waiting(self, caller: Caller, _arguments: Arguments) -> dict[str, Any]:
        """The texts that are not delivered yet, and why."""
        rows = await self._texting.waiting(require_user(caller))
        petname_of = self._book.petname_of
        return {
            "waiting": [
                {**one, "petname": petname_of(parse_address(one["to"])) or ""} for one in rows
            ]
        }

    async def retry(self, caller: Caller, arguments: Arguments) -> dict[str, Any]:
        """Try a text, or all, now."""
        numbers = _numbers(arguments)
        return {"nodes": await self._texting.retry(require_user(caller), numbers)}

    async def cancel(self, caller: Caller, arguments: Arguments) -> dict[str, Any]:
        """Take a text, or all, back."""
        numbers = _numbers(arguments)
        return {"texts": await self._texting.cancel(require_user(caller), numbers)}

    async def send_as_mail(self, caller: Caller, arguments: Arguments) -> dict[str, Any]:
        """Send a text that waits as a mail instead."""
        number = int(number_of(arguments, "number", 0, 1, 1 << 53))
        return await self._texting.send_as_mail(require_user(caller), number)


def _numbers(arguments: Arguments) -> list[int] | None:
    if arguments.get("number") is None:
        return None
    return [int(number_of(arguments, "number", 0, 1, 1 << 53))]
