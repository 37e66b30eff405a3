from __future__ import annotations

import pytest

from dexmesh.errors import DecodeError, UsageError
from dexmesh.wire import scheme
from dexmesh.wire.label import MAX_LABEL_BITS, SELF_LABEL, Label, label_length
from dexmesh.wire.scheme import V358, EncodingScheme, Form, Hop

V48 = EncodingScheme((Form(1, 4, 1), Form(1, 8, 0)))
F4 = EncodingScheme((Form(0, 4, 0),))


def forms_with(count: int) -> tuple[Form, ...]:
    """Distinguishable forms in ascending order: five bits of prefix each."""
    return tuple(Form(5, number + 1, number) for number in range(count))


@pytest.mark.parametrize(
    "forms",
    [
        (),
        (Form(1, 4, 0),),
        (Form(0, 4, 1),),
        (Form(0, 0, 0),),
        (Form(0, 32, 0),),
        (Form(1, 3, 1), Form(0, 5, 0)),
        (Form(1, 3, 1), Form(1, 3, 0)),
        (Form(1, 5, 1), Form(1, 3, 0)),
        (Form(1, 3, 1), Form(2, 5, 0b11)),
        (Form(1, 3, 1), Form(31, 29, 0)),
        (Form(1, 3, 1), Form(32, 5, 0)),
        (Form(1, 3, 3), Form(1, 5, 0)),
        (Form(-1, 3, 0), Form(1, 5, 0)),
        (*forms_with(31), Form(5, 32, 31)),
    ],
)
def test_schemes_that_are_not_sane_cannot_be_made(forms: tuple[Form, ...]) -> None:
    with pytest.raises(UsageError):
        EncodingScheme(forms)


def test_a_scheme_of_31_forms_survives_both_ways() -> None:
    widest = EncodingScheme(forms_with(31))
    assert scheme.decode_scheme(scheme.encode_scheme(widest)) == widest


def test_the_widest_single_form_survives_both_ways() -> None:
    widest = EncodingScheme((Form(0, 31, 0),))
    assert scheme.decode_scheme(scheme.encode_scheme(widest)) == widest


def test_a_scheme_may_be_followed_by_zero_bytes_only() -> None:
    encoded = scheme.encode_scheme(V358)
    assert scheme.decode_scheme(encoded + bytes(1000)) == V358
    with pytest.raises(DecodeError, match="too long"):
        scheme.decode_scheme(encoded + bytes(1000) + b"\x01")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "1 to 31 forms"),
        ("61144581", "cut off"),
        ("1f", "stray bits"),
        ("0100", "stray bits"),
        ("ff" * 159, "stray bits"),
        ("00" * 158 + "80", "stray bits"),
        ("6104", "out of range"),
    ],
)
def test_damaged_scheme_bytes_are_refused(text: str, reason: str) -> None:
    with pytest.raises(DecodeError, match=reason):
        scheme.decode_scheme(bytes.fromhex(text))


def test_a_scheme_that_ends_in_the_middle_of_a_form_is_cut_off() -> None:
    with pytest.raises(DecodeError, match="cut off"):
        scheme.decode_scheme(bytes.fromhex("3f"))


@pytest.mark.parametrize(
    ("interface", "label"),
    [(0, 0x13), (1, 0x11), (2, 0x15), (7, 0x1F), (8, 0x9E), (32, 0xFE), (33, 0x480), (256, 0x7FC)],
)
def test_peers_get_these_one_hop_labels(interface: int, label: int) -> None:
    assert scheme.one_hop_label(interface) == label
    director = scheme.first_director(V358, Label(label))
    assert director is not None
    assert director.interface == interface
    assert scheme.is_one_hop(V358, Label(label))


@pytest.mark.parametrize("interface", [-1, 257, 1 << 40])
def test_an_interface_beyond_the_scheme_has_no_label(interface: int) -> None:
    assert scheme.smallest_form(V358, interface) is None
    with pytest.raises(UsageError):
        scheme.one_hop_label(interface)


def test_a_form_that_does_not_exist_writes_nothing() -> None:
    assert scheme.encode_director(V358, 0, 3) is None
    assert scheme.encode_director(V358, 0, -1) is None


def test_interface_1_exists_only_in_the_smallest_form_of_v358() -> None:
    assert scheme.encode_director(V358, 1, 0) == 1
    assert scheme.encode_director(V358, 1, 1) is None
    assert scheme.encode_director(V358, 1, 2) is None


def test_other_schemes_flip_the_lowest_bit_or_nothing() -> None:
    assert scheme.encode_director(V48, 3, 0) == 2 << 1 | 1
    assert scheme.encode_director(F4, 3, 0) == 3
    found = scheme.first_director(F4, Label(0x13))
    assert found is not None
    assert found.interface == 3


def test_a_label_in_no_form_is_understood_as_nothing() -> None:
    odd = EncodingScheme((Form(2, 3, 0b11), Form(2, 5, 0b10)))
    label = Label(0b100)
    assert scheme.form_of(odd, label) is None
    assert scheme.first_director(odd, label) is None
    assert not scheme.is_one_hop(odd, label)
    assert not scheme.is_self(odd, label)
    assert scheme.convert(odd, label) is None
    assert scheme.label_for(label, Label(0b111), odd) is None
    assert scheme.label_for(Label(0b111), label, odd) is None


def test_a_self_label_is_not_converted_but_kept() -> None:
    assert scheme.is_self(V358, SELF_LABEL)
    assert scheme.convert(V358, SELF_LABEL) == SELF_LABEL
    assert scheme.convert(V358, SELF_LABEL, 1) is None
    assert scheme.label_for(SELF_LABEL, Label(0x9E)) == SELF_LABEL


def test_a_one_form_scheme_has_nothing_to_convert() -> None:
    assert scheme.convert(F4, Label(0x13)) == 0x13
    assert scheme.convert(F4, Label(0x13), 0) == 0x13
    assert scheme.convert(F4, Label(0x13), 1) is None


def test_converting_refuses_what_does_not_fit() -> None:
    assert scheme.convert(V358, Label(0x9E), 0) is None
    assert scheme.convert(V358, Label(0x13), 3) is None
    assert scheme.convert(V358, Label(0x13), -1) is None
    assert scheme.convert(V48, Label(0x23E), 0) is None
    long = Label(1 << MAX_LABEL_BITS | 3)
    assert label_length(long) == MAX_LABEL_BITS
    assert scheme.convert(V358, long, 1) is None


def test_a_number_that_fits_no_form_has_no_canonical_form() -> None:
    odd = EncodingScheme((Form(2, 1, 0b11), Form(2, 2, 0b01)))
    label = Label(0b1_11_01)
    assert scheme.convert(odd, label) == label
    assert scheme._canonical_form(odd, 9) is None


def test_converting_never_makes_a_self_label() -> None:
    wide = Label(1 << 10 | scheme_director(V48, 0b0000_0000))
    assert scheme.convert(V48, wide, 0) is None


def scheme_director(used: EncodingScheme, data: int) -> int:
    """The director with this data value in the widest form."""
    form = used.forms[-1]
    return data << form.prefix_len | form.prefix


def test_a_route_over_no_transit_node_is_the_first_hop() -> None:
    assert scheme.build_route(Label(0x13), []) == 0x13


def test_a_route_is_widened_where_the_way_back_is_wider() -> None:
    hop = Hop(towards_previous=Label(0x9E), towards_next=Label(0x15), scheme=V358)
    assert scheme.build_route(Label(0x13), [hop]) == 0x863


def test_a_route_that_does_not_fit_is_none() -> None:
    hop = Hop(towards_previous=Label(0x480), towards_next=Label(0x480), scheme=V358)
    assert scheme.build_route(Label(0x13), [hop] * 5) is not None
    assert scheme.build_route(Label(0x13), [hop] * 6) is None
    assert scheme.build_route(Label(0x13), [hop] * 60) is None


def test_a_route_over_a_label_in_no_form_is_none() -> None:
    odd = EncodingScheme((Form(2, 3, 0b11), Form(2, 5, 0b10)))
    hop = Hop(towards_previous=Label(0b100), towards_next=Label(0b100), scheme=odd)
    assert scheme.build_route(Label(0x13), [hop]) is None
