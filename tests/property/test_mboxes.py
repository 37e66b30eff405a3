"""An mbox in any pieces is the same mbox, and what is written about a message changes no message."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from dexmesh.apps.mail.proto.mboxes import (
    bare_header,
    date_of,
    marked_header,
    quoted,
    read_head,
    starts,
    unquoted,
)

LINES = (
    *(b"From a@b Mon Jan  6 10:00:00 2025", b"From here", b">From x", b">>From x 10:00", b"From "),
    *(
        b"",
        b"",
        b"Subject: x",
        b" folded",
        b"Status: RO",
        b"X-Status: AFTD",
        b"x-uid: 7",
        b"\xff\x00",
    ),
    *(b"X-Dexmesh-Delivery: 1", b"no field", b":", b"\r"),
)
texts = st.lists(st.sampled_from(LINES), max_size=12).flatmap(
    lambda lines: st.sampled_from([b"\n", b"\r\n"]).map(lambda end: end.join(lines))
)
letters = st.sets(st.sampled_from("SRFDT")).map(lambda found: "".join(sorted(found)))


@given(texts, st.lists(st.integers(0, 80), max_size=8))
def test_where_messages_begin_does_not_depend_on_how_they_are_read(
    text: bytes, cuts: list[int]
) -> None:
    places = [0, *sorted(cuts), len(text)]
    pieces = [text[start:end] for start, end in pairwise(places)]
    found = list(starts(pieces))
    assert found == list(starts([text]))
    for at in found:
        assert text.startswith(b"From ", at)
        assert at == 0 or text[:at].endswith((b"\n\n", b"\n\r\n")) or text[:at] in (b"\n", b"\r\n")


@given(texts, letters)
def test_flags_are_read_as_they_were_written_and_the_message_stays_itself(
    header: bytes, wanted: str
) -> None:
    before = read_head(header)
    marked = marked_header(header, wanted)
    after = read_head(marked)
    assert (after.letters, after.is_old) == (wanted, True)
    assert after.name == before.name
    assert bare_header(marked).rstrip(b"\r\n") == bare_header(header).rstrip(b"\r\n")
    assert marked_header(marked, wanted) == marked


@given(st.lists(st.sampled_from(LINES), max_size=8).map(b"\n".join))
def test_quoting_loses_nothing_and_leaves_no_beginning(body: bytes) -> None:
    assert unquoted(quoted(body)) == body
    assert list(starts([b"x\n\n" + quoted(body)])) == []


@given(st.binary(max_size=200))
def test_any_bytes_are_read_without_trouble(data: bytes) -> None:
    read_head(data)
    date_of(data)
    list(starts([data]))
