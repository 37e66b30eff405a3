"""Give any bytes to the SIP core, alone and in conversations.

Place     targets.py lists them
Keeps     as there: one function a target, no state from one input to the next
"""

from __future__ import annotations

import random
from typing import Final

from dexmesh.apps.call.sip.build import make_response
from dexmesh.apps.call.sip.dialog import Dialog
from dexmesh.apps.call.sip.message import Request, decode, encode
from dexmesh.apps.call.sip.outputs import Answered, Incoming, Output, Send
from dexmesh.apps.call.sip.peer import Peer
from dexmesh.apps.call.sip.stream import StreamDecoder
from dexmesh.apps.call.sip.transaction import Transactions
from dexmesh.apps.call.sip.uri import parse_name_addr, sip_uri_or_none
from dexmesh.errors import DecodeError
from dexmesh.wire.address import parse_address
from tests.unit.apps.call.sip.world import request_of

_ME: Final = parse_address("fc22:33::b0b")
_PEERS: Final = (
    Peer(parse_address("fc1d:f9a1::c214"), 5060),
    Peer(parse_address("fc1d:f9a1::c214"), 40000, is_tcp=True, connection=1),
    Peer(_ME, 5060),
    Peer(parse_address("fc44::ca"), 5060),
)
_STATUSES: Final = (100, 180, 200, 404, 486)
_MOST_OUTPUTS: Final = 200
_END: Final = 100_000.0


def sip_messages(data: bytes) -> None:
    """One message as a datagram, in a stream, and its values alone."""
    try:
        message = decode(data)
    except DecodeError:
        pass
    else:
        assert decode(encode(message)) == message
        for value in (message.from_, message.to, message.contact):
            assert value is None or parse_name_addr(f"<{value.uri}>").uri == value.uri
        if isinstance(message, Request):
            assert decode(encode(make_response(message, 200, to_tag="t"))).vias == message.vias
    sip_uri_or_none(data.decode("utf-8", "replace"))
    whole, pieces = _cut(data, len(data) or 1), _cut(data, 7)
    assert whole[: len(pieces)] == pieces[: len(whole)]


def sip_conversations(data: bytes) -> None:
    """Records of a kind (1), a length (2) and content: messages to a phone that talks, and time."""
    table, now = Transactions(_ME, 5060, random.Random(1).randbytes), 0.0
    outputs: list[Output] = []
    while len(data) > 3:
        kind, end = data[0], 3 + int.from_bytes(data[1:3], "big")
        content, data = data[3:end], data[end:]
        _happen(table, kind, content, outputs, now)
        now += (kind >> 4) ** 2 / 4
        table.handle_timeout(now)
        outputs = (outputs + table.take_outputs())[-_MOST_OUTPUTS:]
    while (due := table.next_timeout()) is not None:
        assert due[0] < _END
        table.handle_timeout(due[0])
    assert len(table) == 0


def _happen(
    table: Transactions, kind: int, content: bytes, outputs: list[Output], now: float
) -> None:
    peer = _PEERS[kind // 4 % 4]
    incoming = [one for one in outputs if isinstance(one, Incoming)]
    sent = [one for one in outputs if isinstance(one, Send) and not one.data.startswith(b"SIP/")]
    number = content[0] if content else 0
    if kind % 4 == 0:
        table.handle_message(content, peer, now)
    elif kind % 4 == 1 and incoming:
        one = incoming[number % len(incoming)]
        response = make_response(one.request, _STATUSES[len(content) % 5], to_tag="bob")
        table.respond(one.id, response, now)
        if response.status > 100:
            _talk(Dialog.as_callee(one.request, response, one.peer), table, now)
    elif kind % 4 == 2:
        id_ = table.request(request_of("INVITE" if number % 2 else "MESSAGE"), peer, now)
        if number % 3 == 0:
            table.cancel(id_, now)
    elif sent:
        one_sent = sent[number % len(sent)]
        _answer(table, one_sent, content, now)
        _acknowledge(table, outputs, now)


def _talk(dialog: Dialog, table: Transactions, now: float) -> None:
    request = dialog.make_request("BYE")
    assert dialog.peer.address in {peer.address for peer in _PEERS}
    table.request(request, dialog.peer, now)


def _answer(table: Transactions, send: Send, content: bytes, now: float) -> None:
    """A sound answer, and the rest of the record as one more field."""
    request = decode(send.data)
    assert isinstance(request, Request)
    response = make_response(request, _STATUSES[len(content) % 5], to_tag="bob")
    data = encode(response).replace(b"\r\n", b"\r\n" + content[1:] + b"\r\n", 1)
    table.handle_message(data if len(content) > 1 else encode(response), send.peer, now)


def _acknowledge(table: Transactions, outputs: list[Output], now: float) -> None:
    for one in outputs:
        if isinstance(one, Answered) and one.response.is_success:
            dialog = Dialog.as_caller(request_of("INVITE"), one.response, one.peer)
            table.acknowledge(one.id, dialog.make_ack(1), dialog.peer, now)


def _cut(data: bytes, size: int) -> list[bytes]:
    """The messages of a stream that comes in pieces, up to the first error."""
    decoder, found = StreamDecoder(), list[bytes]()
    for at in range(0, len(data), size):
        try:
            found += decoder.feed(data[at : at + size])
        except DecodeError:
            break
    return found
