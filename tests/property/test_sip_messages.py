"""SIP from anybody: read or refused with a DecodeError, and what was read is written as the same."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from dexmesh.apps.call.sip.build import make_request, make_response
from dexmesh.apps.call.sip.fields import parse_via
from dexmesh.apps.call.sip.message import Request, Response, decode, encode
from dexmesh.apps.call.sip.refusal import refuse
from dexmesh.apps.call.sip.stream import StreamDecoder
from dexmesh.apps.call.sip.uri import (
    format_name_addr,
    parse_name_addr,
    parse_uri,
    printable,
    sip_uri_or_none,
)
from dexmesh.errors import DecodeError
from tests.unit.apps.call.sip.torture import INVALID, VALID
from tests.unit.apps.call.sip.world import TO_ALICE, request_text

SAMPLES = [*VALID.values(), *INVALID.values(), request_text("INVITE", body="v=0")]
TOKENS = st.text("abcXYZ019-.!%*_+`'~", min_size=1, max_size=12)
TEXTS = st.text(st.characters(exclude_categories=("Cc", "Cs", "Cf", "Zl", "Zp")), max_size=30)
HOSTS = st.sampled_from(["[fc00::1]", "[FC00:0:0:0:0:0:0:1]", "host.example", "a.k", "127.0.0.1"])
URIS = st.builds("sip:{}@{}".format, TOKENS, HOSTS) | st.builds("sip:{}".format, HOSTS)
PIECES = st.lists(
    st.sampled_from(
        [
            b"INVITE sip:a@[fc00::1] SIP/2.0\r\n", b"SIP/2.0 200 OK\r\n", b"v:SIP/2.0/TCP a", b"To: sip:c@d",
            b"Via: SIP/2.0/UDP [fc00::1]:1;branch=z9hG4bK1", b"From: <sip:a@b>;tag=1", b"Call-ID: x", b"l: 3",
            b"CSeq: 1 INVITE", b"Content-Length: 0", b"\r\n", b"\r\n", b"\n", b"\r\n ", b"\r", b"\0", b"\xff",
            b'"', b"<", b">", b";", b",", b"=", b":", b"\\", b"[", b"]", b"@", b"%00", b"?", b"Contact: *",
            b"m: <sip:x>", b"abc", b" ", b"9" * 30,
        ]
    ),
    max_size=40,
).map(b"".join)  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A message with bytes cut out, doubled, swapped or replaced."""
    data = draw(st.sampled_from(SAMPLES))
    for _ in range(draw(st.integers(1, 6))):
        at, size = draw(st.integers(0, len(data))), draw(st.integers(0, 30))
        put = draw(st.binary(max_size=8) | st.just(data[at : at + size] * 2))
        data = data[:at] + put + data[at + size :]
    return data


@st.composite
def messages(draw: st.DrawFn) -> Request | Response:
    """Sound messages of any method, names and bodies."""
    request = make_request(
        draw(TOKENS),
        draw(URIS),
        from_=format_name_addr(draw(TEXTS), draw(URIS), draw(TOKENS)),
        to=format_name_addr(draw(TEXTS), draw(URIS), draw(TOKENS | st.just(""))),
        call_id=draw(TOKENS),
        cseq=draw(st.integers(0, 2**31 - 1)),
        fields=[
            ("Contact", format_name_addr("", draw(URIS))),
            ("Via", f"SIP/2.0/UDP {draw(HOSTS)};branch={draw(TOKENS)}"),
            *draw(st.lists(st.tuples(TOKENS.map("X-{}".format), TEXTS.map(str.strip)), max_size=5)),
        ],
        body=draw(st.binary(max_size=200)),
    )
    if draw(st.booleans()):
        return request
    status = draw(st.integers(100, 699))
    reason = draw(TEXTS.map(str.strip))
    return make_response(request, status, reason, to_tag="t1", body=request.body)


@given(messages())
def test_what_we_write_is_read_as_the_same(message: Request | Response) -> None:
    assert decode(encode(message)) == message


@given(st.binary(max_size=400) | PIECES | damaged())
@example(b"")
def test_any_bytes_are_a_message_or_refused_and_its_fields_never_raise(data: bytes) -> None:
    try:
        message = decode(data)
    except DecodeError as error:
        refusal = refuse(data, error.reason, "t1", TO_ALICE)
        assert refusal is None or refusal[1].startswith(b"SIP/2.0 ")
        return
    assert decode(encode(message)) == message
    assert message.via is message.vias[0]
    assert str(message.cseq)
    for value in (message.from_, message.to, message.contact):
        assert value is None or value.display == printable(value.display)
        assert value is None or value.address is None or len(value.address) == 16
    assert message.content_type is None or message.content_type.charset
    assert message.max_forwards is None or message.max_forwards < 256
    if isinstance(message, Request):
        assert message.sip_uri is None or str(message.sip_uri) == message.uri
        answer = make_response(message, 486, to_tag="t1")
        assert decode(encode(answer)).cseq == message.cseq


@given(
    st.lists(st.sampled_from(SAMPLES) | st.binary(max_size=40), max_size=4).map(b"".join),
    st.lists(st.integers(1, 90), min_size=1, max_size=9),
)
def test_a_stream_is_cut_in_the_same_places_however_it_arrives(
    data: bytes, sizes: list[int]
) -> None:
    assert _cut(data, [len(data) or 1]) == _cut(data, sizes)


def _cut(data: bytes, sizes: list[int]) -> tuple[list[bytes], bool]:
    """The messages, and whether the stream ended with an error."""
    decoder, found, at, turn = StreamDecoder(), list[bytes](), 0, 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        piece, at, turn = data[at : at + size], at + size, turn + 1
        for byte in piece:  # what came before an error in one piece is kept in both ways
            try:
                found += decoder.feed(bytes([byte]))
            except DecodeError:
                return found, True
    return found, False


@given(st.text(max_size=60) | st.text('sip:@[]<>";=,.\\ af0', max_size=40))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    for parse in (parse_uri, parse_name_addr, parse_via):
        try:
            parsed = parse(text)
        except DecodeError:
            continue
        if parse is parse_via:
            assert parse_via(str(parsed)) == parsed
    uri = sip_uri_or_none(text)
    assert uri is None or uri.text == text


@given(
    st.sampled_from(
        [" ", "\t", ";", ",", "<", '"', "\\", "a;", "a=", '"\\', "@", ":", "[", "?", "\r\n "]
    )
)
def test_a_flood_of_one_kind_costs_little(piece: str) -> None:
    """Linear work: a quadratic pattern would need minutes for these 7 kB in each field."""
    for name in ("Via", "From", "Contact", "Content-Type", "CSeq"):
        data = request_text("INVITE", extra=f"{name}: {piece * (7000 // len(piece))}x\r\n")
        try:
            decode(data)
        except DecodeError:
            continue
