"""Offer the checks of reach.py to programs on this machine.

Place     cli/ (contact add, mail send, doctor, mail queue) -> control socket -> here -> reach.py
Spec      ours: `reach.check {"to"}` gives one report, `reach.reports {}` gives {"reports": [...]}
Keeps     a check calls only the node it is about
"""

from __future__ import annotations

from typing import Any, Protocol

from dexmesh.apps.base.control import Caller, ControlServer
from dexmesh.apps.base.domains import parse_domain
from dexmesh.apps.mail.proto.reach import ReachReport, say
from dexmesh.apps.mail.reach import ReachChecker
from dexmesh.errors import AppError
from dexmesh.wire.address import Address, format_address


class Book(Protocol):
    """What is needed of the address book."""

    def address_of(self, petname: str) -> Address | None:
        """The address of the contact with this petname."""
        ...

    def petname_of(self, address: Address) -> str | None:
        """The petname of the contact with this address."""
        ...


def register(server: ControlServer, checker: ReachChecker, book: Book) -> None:
    """Offer `reach.check` and `reach.reports`."""

    async def check(_caller: Caller, arguments: dict[str, Any]) -> dict[str, Any]:
        address = node_in(str(arguments.get("to", "")), book)
        return describe(await checker.check(address), book)

    async def reports(_caller: Caller, _arguments: dict[str, Any]) -> dict[str, Any]:
        return {"reports": [describe(report, book) for report in checker.reports.values()]}

    server.register("reach.check", check)
    server.register("reach.reports", reports)


def node_in(text: str, book: Book) -> Address:
    """The node meant by a petname, a key name, an address or a mail address. Raises AppError."""
    domain = text.strip().rpartition("@")[2]
    address = parse_domain(domain, book.address_of) or parse_domain(f"[IPv6:{domain}]")
    if address is None:
        hint = "write a petname of `dexmesh contact`, a key name (...k) or a mesh address (fc..)"
        raise AppError(f"{text!r} is no node we know", hint)
    return address


def name_of(address: Address, book: Book) -> str:
    """What a node is called when people are told about it."""
    return book.petname_of(address) or format_address(address)


def describe(report: ReachReport, book: Book) -> dict[str, Any]:
    """A report for programs; `sentences` is what a person is shown."""
    name = name_of(report.address, book)
    return {
        "address": format_address(report.address),
        "name": name,
        "theirs": report.theirs.value,
        "ours": report.ours.value,
        "program": report.program,
        "is_good": report.is_good,
        "is_wrong": report.is_wrong,
        "is_one_way": report.is_one_way,
        "sentences": list(say(report, name)),
        "unix_time": round(report.unix_time),
    }
