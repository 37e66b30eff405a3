"""Texts in and out: what is shown, what the sender hears, what comes twice."""

from __future__ import annotations

import pytest

from dexmesh.apps.call.phone.core import uri_at
from dexmesh.apps.call.phone.counters import Count
from dexmesh.apps.call.phone.values import (
    CallError,
    ReceiptArrived,
    ReceiptState,
    TextArrived,
    TextDone,
    TextState,
)
from dexmesh.apps.call.sip.message import Response
from dexmesh.wire.address import Address, parse_address
from tests.unit.apps.call.phone.world import ANN, BOB, EVE, Node, World, answer_to, request

ID = "text-0001@ann"
PLAIN = ("Content-Type: text/plain",)
CPIM = ("Content-Type: message/cpim",)
IMDN = ("Content-Type: message/imdn+xml",)


def store(world: World, node: Node, *, is_stored: bool = True) -> TextArrived:
    arrived = node.last(TextArrived)
    node.phone.confirm_text(arrived.text_id, world.now, is_stored=is_stored)
    world.run(0.1)
    return arrived


def send(world: World, text: str = "hi", message_id: str = ID, name: str = "bob") -> None:
    world.ann.phone.send_text("ann", uri_at(BOB, name), text, world.now, message_id=message_id)
    world.run(0.1)


def message(
    body: str = "hi",
    fields: tuple[str, ...] = PLAIN,
    *,
    branch: str = "z9hG4bK1",
    call_id: str = "text-1",
    source: Address = BOB,
    cseq: int = 1,
) -> str:
    from_ = f"<sip:x@[fc00::{source[-1]:x}]>"
    return request(
        "MESSAGE", body=body, fields=fields, branch=branch, call_id=call_id, from_=from_, cseq=cseq
    )


def bare() -> World:
    world = World()
    del world.nodes[BOB]
    return world


# --- Between two phones


def test_a_text_is_stored_before_its_sender_hears_that_it_arrived() -> None:
    world = World()
    send(world, "Grüße, 你好 \N{WAVING HAND SIGN}\nzweite Zeile")
    assert world.ann.all(TextDone) == []
    arrived = store(world, world.bob)
    assert arrived.text == "Grüße, 你好 \N{WAVING HAND SIGN}\nzweite Zeile"
    assert (arrived.users, arrived.caller.address, arrived.is_request) == (("bob",), ANN, False)
    done = world.ann.one(TextDone)
    assert (done.state, done.status, done.message_id) == (TextState.DELIVERED, 200, ID)
    world.assert_empty()


def test_a_text_that_cannot_be_stored_may_wait() -> None:
    world = World()
    send(world)
    store(world, world.bob, is_stored=False)
    assert world.ann.one(TextDone).state is TextState.UNDELIVERED


def test_a_text_that_nobody_stores_is_given_back_after_10_s() -> None:
    world = World()
    send(world)
    world.run(10.1)
    done = world.ann.one(TextDone)
    assert (done.state, done.status) == (TextState.UNDELIVERED, 480)
    arrived = world.bob.one(TextArrived)
    world.bob.phone.confirm_text(arrived.text_id, world.now, is_stored=True)  # too late, harmless
    world.assert_empty()


def test_a_text_of_6_kb_goes_by_tcp() -> None:
    world = World(loss=1.0)  # UDP does not arrive at all
    send(world, "ä" * 3000)
    assert store(world, world.bob).text == "ä" * 3000
    assert world.ann.one(TextDone).state is TextState.DELIVERED


def test_the_same_text_tried_again_is_shown_once() -> None:
    world = World()
    send(world)
    store(world, world.bob)
    send(world)
    assert len(world.bob.all(TextArrived)) == 1
    assert [one.state for one in world.ann.all(TextDone)] == [TextState.DELIVERED] * 2
    assert world.bob.phone.counters[Count.TEXT_TWICE] == 1


def test_the_same_text_long_after_has_the_same_id_for_the_store() -> None:
    world = World()
    for _ in range(2):
        send(world)
        store(world, world.bob)
        world.run(100.0)
    first, second = world.bob.all(TextArrived)
    assert first.message_id == second.message_id
    assert first.text_id != second.text_id


def test_a_text_that_could_not_be_stored_is_told_again_when_it_comes_again() -> None:
    world = World()
    send(world)
    store(world, world.bob, is_stored=False)
    send(world)
    store(world, world.bob)
    assert len(world.bob.all(TextArrived)) == 2
    assert world.ann.last(TextDone).state is TextState.DELIVERED


def test_lost_packets_do_not_show_a_text_twice() -> None:
    for seed in range(30):
        world = World(seed=seed, loss=0.3)
        send(world)
        for _ in range(40):
            world.run(1.0)
            if world.bob.all(TextArrived):
                store(world, world.bob)
        assert len(world.bob.all(TextArrived)) <= 1
        assert world.ann.one(TextDone).state in (TextState.DELIVERED, TextState.UNDELIVERED)
        world.assert_empty()


def test_an_absent_peer_is_no_refusal() -> None:
    world = bare()
    send(world)
    world.run(33.0)
    done = world.ann.one(TextDone)
    assert (done.state, done.status, done.reason) == (TextState.UNDELIVERED, 0, "no answer")


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (200, TextState.DELIVERED),
        (202, TextState.DELIVERED),
        (408, TextState.UNDELIVERED),
        (480, TextState.UNDELIVERED),
        (482, TextState.UNDELIVERED),
        (503, TextState.UNDELIVERED),
        (403, TextState.REFUSED),
        (404, TextState.REFUSED),
        (415, TextState.REFUSED),
        (603, TextState.REFUSED),
    ],
)
def test_what_an_answer_means(status: int, state: TextState) -> None:
    world = bare()
    send(world)
    world.put(answer_to(world.requests("MESSAGE")[0], status))
    done = world.ann.one(TextDone)
    assert (done.state, done.status) == (state, status)


@pytest.mark.parametrize(
    ("text", "message_id", "why"),
    [
        (" \n", ID, "1 to 65536"),
        ("x" * 65537, ID, "1 to 65536"),
        ("hi", "short", "id of a text"),
        ("hi", "line\nend-of-it", "id of a text"),
    ],
)
def test_texts_that_can_never_go(text: str, message_id: str, why: str) -> None:
    with pytest.raises(CallError, match=why):
        send(bare(), text, message_id)


def test_a_text_that_is_on_its_way_is_not_sent_again() -> None:
    world = bare()
    send(world)
    with pytest.raises(CallError, match="on its way already"):
        send(world)


def test_many_texts_at_once_are_bounded() -> None:
    world = bare()
    for number in range(256):
        send(world, message_id=f"message-{number}")
    with pytest.raises(CallError, match="too many texts"):
        send(world, message_id="message-last")
    world.assert_empty()


# --- From bare nodes


def answers(world: World) -> list[int]:
    return [one.status for _, one in world.inbox if isinstance(one, Response)]


def test_a_text_in_another_transaction_but_the_same_by_its_names_is_told_once() -> None:
    world = bare()
    world.put(message())
    world.put(message(branch="z9hG4bK2"))  # while the first is being stored
    store(world, world.ann)
    world.put(message(branch="z9hG4bK3"))
    assert answers(world) == [200, 200, 200]
    assert world.ann.one(TextArrived)


def test_another_number_or_call_is_another_text() -> None:
    world = bare()
    world.put(message())
    world.put(message(branch="z9hG4bK2", cseq=2))
    world.put(message(branch="z9hG4bK3", call_id="text-2"))
    world.put(message(source=EVE), EVE)
    assert len({one.message_id for one in world.ann.all(TextArrived)}) == 3
    assert len(world.ann.all(TextArrived)) == 4


def test_copies_of_a_text_that_is_being_stored_are_bounded() -> None:
    world = bare()
    for number in range(12):
        world.put(message(branch=f"z9hG4bK{number}"))
        world.run(0.2)
    assert answers(world).count(482) == 4


@pytest.mark.parametrize(
    ("kind", "body", "text"),
    [
        ("text/plain;charset=UTF-8", "Grüße", "Grüße"),
        ("text/plain", "Grüße", "Grüße"),
        ("TEXT/Plain; Charset=utf-8", "a\nb\rc", "a\nb\nc"),
        (
            "text/plain",
            "bell\x07 escape\x1b[31m \u202eright",
            "bell\ufffd escape\ufffd[31m \ufffdright",
        ),
        ("text/plain", "tab\tstays", "tab\tstays"),
    ],
)
def test_plain_texts(kind: str, body: str, text: str) -> None:
    world = bare()
    world.put(message(body, (f"Content-Type: {kind}",)))
    assert world.ann.one(TextArrived).text == text


def test_a_text_in_latin_1() -> None:
    world = bare()
    data = message("X", ("Content-Type: text/plain;charset=iso-8859-1",)).encode()
    world.put(data.replace(b"\n", b"\r\n")[:-1] + b"\xfc")
    assert world.ann.one(TextArrived).text == "ü"


@pytest.mark.parametrize(
    "fields",
    [
        ("Content-Type: text/html",),
        ("Content-Type: application/im-iscomposing+xml",),
        ("Content-Type: text/plain;charset=utf-7",),
        ("Content-Type: text/plain", "Content-Encoding: gzip"),
        ("Content-Type: message/cpim",),
        ("Content-Type: message/imdn+xml",),
        (),
    ],
)
def test_what_is_not_understood_is_415(fields: tuple[str, ...]) -> None:
    world = bare()
    [answer] = world.put(message("rubbish", fields))
    assert answer.status == 415
    assert "text/plain" in answer.headers.all("Accept")
    assert world.ann.told == []


def test_cpim_is_unwrapped() -> None:
    world = bare()
    body = (
        "From: Bob <sip:bob@[fc00::b]>\nTo: <sip:ann@[fc00::a]>\n"
        "NS: imdn <urn:ietf:params:imdn>\nimdn.Message-ID: 34jk324j\n"
        "imdn.Disposition-Notification: positive-delivery\n\n"
        "Content-Type: text/plain; charset=utf-8\n\nhallo\n\nBob"
    )
    world.put(message(body, CPIM))
    arrived = world.ann.one(TextArrived)
    assert (arrived.text, arrived.message_id) == ("hallo\n\nBob", "34jk324j")


def test_one_id_for_a_text_to_two_users_here_hides_it_from_neither() -> None:
    world = bare()
    body = "From: <sip:x@[fc00::b]>\nimdn.Message-ID: 12345678\n\nContent-Type: text/plain\n\nhi"
    for name in ("ann", "amy"):
        to, branch = f"{name}@[fc00::a]", f"z9hG4bK{name}"
        text = request("MESSAGE", to=to, branch=branch, call_id=name, fields=CPIM, body=body)
        world.put(text)
        store(world, world.ann)
    assert [one.users for one in world.ann.all(TextArrived)] == [("ann",), ("amy",)]


def test_cpim_that_names_another_sender_is_403() -> None:
    world = bare()
    body = "From: <sip:eve@[fc00::e]>\n\nContent-Type: text/plain\n\nhallo"
    [answer] = world.put(message(body, CPIM))
    assert answer.status == 403
    assert world.ann.all(TextArrived) == []


@pytest.mark.parametrize(
    ("element", "state"),
    [
        ("<delivered/>", ReceiptState.DELIVERED),
        ("<displayed />", ReceiptState.DISPLAYED),
        ("<imdn:failed/>", ReceiptState.FAILED),
        ("<processed/>", None),
    ],
)
@pytest.mark.parametrize("is_wrapped", [False, True])
def test_receipts_are_answered_200_and_told(
    element: str, state: ReceiptState | None, is_wrapped: bool
) -> None:
    world = bare()
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<imdn xmlns="urn:ietf:params:xml:ns:imdn">'
        f"<message-id> {ID} </message-id><delivery-notification><status>{element}</status>"
        "</delivery-notification></imdn>"
    )
    fields = IMDN
    if is_wrapped:
        body = f"From: <sip:bob@[fc00::b]>\n\nContent-Type: message/imdn+xml\n\n{body}"
        fields = CPIM
    assert [one.status for one in world.put(message(body, fields))] == [200]
    told = [(one.message_id, one.state) for one in world.ann.all(ReceiptArrived)]
    assert told == ([] if state is None else [(ID, state)])
    assert world.ann.all(TextArrived) == []


def test_a_receipt_that_defines_entities_is_not_read() -> None:
    world = bare()
    body = '<!DOCTYPE x [<!ENTITY a "b">]><imdn><message-id>a</message-id><delivered/></imdn>'
    assert [one.status for one in world.put(message(body, IMDN))] == [415]


# --- Strangers


def test_texts_of_strangers_are_requests() -> None:
    world = bare()
    world.put(message(source=EVE), EVE)
    assert world.ann.one(TextArrived).is_request


def test_a_stranger_may_write_20_texts_in_an_hour_of_4_kb() -> None:
    world = bare()
    long = message("x" * 4097, source=EVE, branch="z9hG4bKlong", call_id="long")
    assert [one.status for one in world.put(long, EVE, is_tcp=True)] == [413]
    for number in range(25):
        world.put(message(source=EVE, branch=f"z9hG4bK{number}", call_id=f"c{number}"), EVE)
        world.run(0.5)
    assert len(world.ann.all(TextArrived)) == 20
    refused = [one for _, one in world.inbox if isinstance(one, Response) and one.status == 503]
    assert len(refused) == 5
    assert 3000 < int(refused[0].headers.first("Retry-After") or 0) <= 3600
    world.run(3600.0)
    world.put(message(source=EVE, branch="z9hG4bKnew", call_id="new"), EVE)
    assert len(world.ann.all(TextArrived)) == 21


def test_a_hundred_strangers_may_write_in_an_hour() -> None:
    world = bare()
    for number in range(110):
        source = parse_address(f"fc03::{number + 1:x}")
        world.ann.book.strangers.add(source)
        text = message(call_id="c").replace("fc00::b", f"fc03::{number + 1:x}")
        world.put(text, source)
        world.run(0.1)
    assert len(world.ann.all(TextArrived)) == 100


def test_texts_that_wait_to_be_stored_are_bounded() -> None:
    world = bare()
    for number in range(300):
        source = parse_address(f"fc03::{number // 10 + 1:x}")
        text = message(branch=f"z9hG4bK{number}", call_id=f"c{number}")
        world.put(text.replace("fc00::b", f"fc03::{number // 10 + 1:x}"), source)
    assert len(world.ann.all(TextArrived)) == 256
    assert world.ann.phone.counters[Count.TOO_MANY_TEXTS] == 44
    world.assert_empty()


def test_a_text_for_nobody_here_is_404_and_of_the_blocked_403() -> None:
    world = bare()
    wrong = message().replace("sip:ann@", "sip:nobody@")
    assert [one.status for one in world.put(wrong)] == [404]
    world.ann.book.blocked.add(BOB)
    assert [one.status for one in world.put(message(branch="z9hG4bK2"))] == [403]


def test_a_text_to_another_user_of_the_own_node() -> None:
    world = World()
    world.ann.phone.send_text("ann", uri_at(ANN, "amy"), "psst", world.now, message_id=ID)
    world.run(0.1)
    assert store(world, world.ann).users == ("amy",)
    assert world.ann.one(TextDone).state is TextState.DELIVERED


def test_a_name_with_odd_letters_arrives_as_it_is() -> None:
    world = World()
    world.bob.house.aliases["bøb & co/;x@y"] = ("bob",)
    send(world, name="bøb & co/;x@y")
    assert world.bob.one(TextArrived).users == ("bob",)
    assert uri_at(BOB, "a b").text == "sip:a%20b@[fc00::b]"
