"""The form in which a message is kept and sent."""

from hypothesis import given
from hypothesis import strategies as st

from dexmesh.apps.mail.proto.data import DataDecoder, encode_data
from dexmesh.apps.mail.proto.sending import DotStuffer, LineEnds

pieces = st.lists(st.lists(st.sampled_from([b"\r", b"\n", b".", b"a", b"\xc3"])).map(b"".join))


def normal(chunks: list[bytes]) -> tuple[bytes, LineEnds]:
    ends = LineEnds()
    return b"".join([*(ends.feed(chunk) for chunk in chunks), ends.finish()]), ends


@given(pieces)
def test_line_ends_do_not_depend_on_how_a_message_is_cut(chunks: list[bytes]) -> None:
    whole, whole_ends = normal([b"".join(chunks)])
    cut, cut_ends = normal(chunks)
    single, single_ends = normal([bytes([byte]) for byte in b"".join(chunks)])
    assert whole == cut == single
    for ends in (whole_ends, cut_ends, single_ends):
        facts = (ends.size, ends.is_8bit, ends.has_8bit_header)
        assert facts == (len(whole), whole_ends.is_8bit, whole_ends.has_8bit_header)


@given(pieces)
def test_every_line_ends_with_crlf_and_nothing_else_changes(chunks: list[bytes]) -> None:
    whole, _ = normal(chunks)
    assert whole.endswith(b"\r\n")
    assert whole.count(b"\r") == whole.count(b"\n") == whole.count(b"\r\n")
    text = b"".join(chunks).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    assert whole.replace(b"\r\n", b"\n").removesuffix(b"\n") == text.removesuffix(b"\n")
    assert normal([whole])[0] == whole  # a message in its form keeps every byte


@given(pieces)
def test_stuffed_dots_are_undone_by_the_receiver_however_both_are_cut(chunks: list[bytes]) -> None:
    whole, _ = normal(chunks)
    stuffer = DotStuffer()
    wire = b"".join(stuffer.feed(bytes([byte])) for byte in whole) + b".\r\n"
    assert wire == encode_data(whole)
    decoder = DataDecoder()
    assert decoder.feed(wire) == whole
    assert decoder.is_done


def test_8bit_is_noticed_in_the_header_apart_from_the_body() -> None:
    assert not normal([b"Subject: x\n\n\xc3\xa4\n"])[1].has_8bit_header
    assert normal([b"Subject: x\n\n\xc3\xa4\n"])[1].is_8bit
    assert normal([b"Subject: \xc3\xa4\n\nx\n"])[1].has_8bit_header
    assert not normal([b"\n\xc3\xa4\n"])[1].has_8bit_header  # no header at all
    assert not normal([b"Subject: x\n\nx\n"])[1].is_8bit
