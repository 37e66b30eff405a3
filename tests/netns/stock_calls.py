"""What our phone is asked to do with any stock phone, whichever it is.

ours (stuart, our service) ---- cable with fc00::/8 ---- stock (stuart, a stock phone)
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dexmesh.cli.lab import Lab, wait_until
from tests.netns.mail_machines import MailMachine, mail_machines
from tests.netns.our_phone import Event, OurProgram
from tests.netns.phone_machines import PhoneMachine
from tests.netns.phones import CALL_S, StockPhone
from tests.netns.sippers import Sipp
from tests.netns.tones import recorded_pause_s

MARKS = [
    pytest.mark.netns,
    pytest.mark.interop,
    pytest.mark.skipif(
        bool(os.environ.get("DEXMESH_USERNS")), reason="phones are run by users: real root"
    ),
]

LEAST_S = 1.0  # of a tone, in what a phone heard for 2.5 s
LEAST_PAUSE_S = 1.0  # of a tone, in a call that was on hold for two figures of a seat, 1 s apart
OUR_HZ, STOCK_HZ = 850, 600
LONG = "6 kB:" + " grüße€" * 550
PETNAME = "bob"


@dataclass(frozen=True, slots=True)
class Pair:
    """Our phone, which knows whoever is at the stock phone, and the machine for that."""

    ours: PhoneMachine
    at: MailMachine


@contextlib.contextmanager
def phone_pair() -> Iterator[Pair]:
    """Both machines; our service runs, nothing runs at the other."""
    if os.geteuid() != 0:
        pytest.fail("needs root or a user namespace: run `make test`, which finds a way")
    with Lab("dexmesh-test") as lab:
        here, there = mail_machines(lab)
        ours = PhoneMachine(here, OUR_HZ)
        ours.switch_on()
        ours.know(PETNAME, there.address)
        ours.serve()
        yield Pair(ours, there)


# --- Texts --------------------------------------------------------------------------------------------------


def text_each_other(ours: PhoneMachine, stock: StockPhone) -> None:
    """In UTF-8; what comes has the name out of our address book, what we sent is told delivered."""
    assert ours.send_text(PETNAME, "grüß dich, was läuft? €")["state"] == "delivered"
    assert stock.wait_text("grüß dich, was läuft? €") == ours.uri
    stock.send_text(ours.uri, "schön, dass du fragst: 5 €")
    entry = ours.wait_text("schön, dass du fragst: 5 €")
    assert (entry["petname"], entry["is_request"]) == (PETNAME, False)


# --- Calls --------------------------------------------------------------------------------------------------


def call_each_other(ours: PhoneMachine, stock: StockPhone, codec: str) -> None:
    """A tone goes both ways in both calls, in this codec. The stock phone answers by itself."""
    with _calling(ours, stock, codec) as seat:
        stock.listen()
        ours.ask("call.hangup")
        ended = seat.expect("ended", by="us")
        stock.expect(stock.ended)
        assert seat.wait() == 0
    require_heard(seat, ended, stock)
    with ours.sit_down("--auto-answer", "--codec", codec) as seat:
        plan = be_called(stock, ours, seat)
        ended = hang_up(stock, seat)
    assert plan["sound"]["name"] == codec
    require_heard(seat, ended, stock)


@contextlib.contextmanager
def _calling(ours: PhoneMachine, stock: StockPhone, codec: str) -> Iterator[OurProgram]:
    """A call of ours that the stock phone has answered."""
    stock.say(STOCK_HZ)
    stock.forget()
    with ours.call(stock.uri, "--codec", codec) as seat:
        assert seat.expect("established")["plan"]["sound"]["name"] == codec
        stock.expect(stock.established)
        yield seat


def be_called(stock: StockPhone, ours: PhoneMachine, seat: OurProgram) -> dict[str, Any]:
    """The stock phone calls and has heard something; the plan of our seat."""
    stock.say(STOCK_HZ)
    stock.forget()
    stock.call(ours.uri)
    plan: dict[str, Any] = seat.expect("established")["plan"]
    stock.expect(stock.established)
    stock.listen()
    return plan


def hang_up(stock: StockPhone, seat: OurProgram) -> Event:
    """The stock phone ends the call; what our seat says of it."""
    stock.hang_up()
    return seat.expect("ended", by="them")


def require_heard(seat: OurProgram, ended: Event, stock: StockPhone) -> None:
    """The tone of each is in the recording of the other."""
    assert seat.heard_s(ended, STOCK_HZ) > LEAST_S
    assert stock.heard_s(OUR_HZ) > LEAST_S


# --- During a call ------------------------------------------------------------------------------------------


def a_call_with_interruptions(ours: PhoneMachine, stock: StockPhone) -> None:
    """Keys are pressed, a second caller hears that we are busy, either side holds the call."""
    with ours.sit_down("--auto-answer") as seat:
        be_called(stock, ours, seat)
        _press_keys(ours, stock, seat)
        Sipp(stock, port=5099).play("refused", ours.uri, status=486)
        _hold_from_there(stock, seat)
        _hold_from_here(ours, seat)
        ended = hang_up(stock, seat)
    require_heard(seat, ended, stock)
    assert recorded_pause_s(Path(ended["recorded"]), STOCK_HZ) > LEAST_PAUSE_S
    missed, answered = ours.history("call")[-2:]
    assert (missed["state"], missed["reason"]) == ("missed", "busy")
    assert (answered["state"], answered["petname"]) == ("answered", PETNAME)


def _press_keys(ours: PhoneMachine, stock: StockPhone, seat: OurProgram) -> None:
    ours.ask("call.digits", digits="159#")
    stock.send_key("7")
    seat.expect("digit", digit="7")
    wait_until(lambda: stock.heard_keys() == "159#", CALL_S, "159#")


def _hold_from_there(stock: StockPhone, seat: OurProgram) -> None:
    """Whoever is put on hold sends nothing until he is taken back."""
    stock.hold()
    seat.expect("changed", held_there=True)
    held = _sends_nothing(seat)
    stock.resume()
    seat.expect("changed", held_there=False)
    _talks_again(seat, held)


def _hold_from_here(ours: PhoneMachine, seat: OurProgram) -> None:
    """On hold nothing goes out and nothing is heard; afterwards as before."""
    ours.ask("call.hold", on=True)
    seat.expect("changed", held_here=True)
    held = _sends_nothing(seat)
    ours.ask("call.hold", on=False)
    seat.expect("changed", held_here=False)
    _talks_again(seat, held)


def _sends_nothing(seat: OurProgram) -> Event:
    """Two figures of the seat in a row are the same, but for what comes in; the later one."""
    seat.expect("statistics")
    before = seat.expect("statistics")
    after = seat.expect("statistics")
    assert after["sent"] == before["sent"]
    return after


def _talks_again(seat: OurProgram, held: Event) -> None:
    """More than a second of sound goes both ways."""
    while True:
        now = seat.expect("statistics")
        if min(now[way] - held[way] for way in ("sent", "received")) > 60:
            return


# --- Calls that do not come about ---------------------------------------------------------------------------


def give_up_and_decline(ours: PhoneMachine, stock: StockPhone) -> None:
    """Whoever calls, and whoever does not want to; the stock phone waits for a hand."""
    _give_up_from_here(ours, stock)
    _decline_from_there(ours, stock)
    with ours.sit_down() as seat:
        _give_up_from_there(ours, stock, seat)
        _decline_from_here(ours, stock, seat)


def _give_up_from_here(ours: PhoneMachine, stock: StockPhone) -> None:
    stock.forget()
    with ours.call(stock.uri) as seat:
        stock.expect(stock.ringing)
        seat.expect("progress", is_ringing=True)
        ours.ask("call.hangup")
        seat.expect("ended", reason="hung up", by="us")
        stock.expect(stock.ended)
        assert seat.wait() == 1


def _decline_from_there(ours: PhoneMachine, stock: StockPhone) -> None:
    stock.forget()
    with ours.call(stock.uri) as seat:
        stock.expect(stock.ringing)
        stock.hang_up()
        assert seat.expect("ended", by="them")["reason"] in ("declined", "busy")  # baresip: 486
        assert seat.wait() == 1


def _give_up_from_there(ours: PhoneMachine, stock: StockPhone, seat: OurProgram) -> None:
    """A missed call."""
    stock.call(ours.uri)
    call = seat.expect("ringing")["call"]
    stock.hang_up()
    seat.expect("stopped", call=call, reason="cancelled")
    last = ours.history("call")[-1]
    assert (last["state"], last["petname"]) == ("missed", PETNAME)


def _decline_from_here(ours: PhoneMachine, stock: StockPhone, seat: OurProgram) -> None:
    stock.forget()
    stock.call(ours.uri)
    seat.expect("ringing")
    ours.ask("call.decline")
    stock.expect(stock.ended)
