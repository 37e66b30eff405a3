"""Read and write directors: the bits with which one switch names one of its interfaces.

Place     dht.py carries schemes; mesh/ makes labels for peers and builds routes with this
Spec      docs/protocol/03 §3 and §4.2-4.3
Keeps     any sane scheme is understood, an insane one is refused; a director that cannot be
          written is None, never a wrong interface
Not here  joining labels (label.py), forwarding by them (rust/engine switch)
"""

from __future__ import annotations

from collections.abc import Sequence

from dexmesh.errors import DecodeError, UsageError
from dexmesh.values import dataclass
from dexmesh.wire.label import MAX_LABEL_BITS, SELF_LABEL, Label, label_length, splice

SELF_INTERFACE = 1  # 03 §1: the slot of a node's own router
MAX_INTERFACE = 256  # 03 §1

_PREFIX_LEN_BITS = 5  # 03 §3.4
_BIT_COUNT_BITS = 5  # 03 §3.4
_MAX_FIELD = 31  # 03 §3.4: largest prefix_len, bit_count and number of forms
_MAX_WIDTH = 59  # 03 §3.4: largest prefix_len + bit_count


@dataclass(frozen=True, slots=True)
class Form:
    """One way to write a director: a fixed prefix at the low end, then `bit_count` data bits."""

    prefix_len: int
    bit_count: int
    prefix: int

    @property
    def width(self) -> int:
        """Bits of a director in this form."""
        return self.prefix_len + self.bit_count

    def matches(self, bits: int) -> bool:
        """Whether the low bits carry this form's prefix."""
        return (bits ^ self.prefix) & ((1 << self.prefix_len) - 1) == 0


@dataclass(frozen=True, slots=True)
class EncodingScheme:
    """The ordered forms one node uses. `UsageError` for a scheme that is not sane (03 §3.4)."""

    forms: tuple[Form, ...]

    def __post_init__(self) -> None:
        flaw = _flaw(self.forms)
        if flaw is not None:
            raise UsageError(flaw)


@dataclass(frozen=True, slots=True)
class Director:
    """The first director of a label: the form it is in and the interface it names."""

    form: int
    width: int
    interface: int


@dataclass(frozen=True, slots=True)
class Hop:
    """One transit node of a route, seen from itself: its scheme and its two one-hop labels."""

    towards_previous: Label
    towards_next: Label
    scheme: EncodingScheme


def _flaw(forms: tuple[Form, ...]) -> str | None:
    """Why these forms make no sane scheme, or None (03 §3.4)."""
    if not 1 <= len(forms) <= _MAX_FIELD:
        return "scheme needs 1 to 31 forms"
    shortest_prefix = 0 if len(forms) == 1 else 1
    longest_prefix = 0 if len(forms) == 1 else _MAX_FIELD
    for form in forms:
        if not shortest_prefix <= form.prefix_len <= longest_prefix:
            return "form with a prefix length out of range"
        if not 1 <= form.bit_count <= _MAX_FIELD or form.width > _MAX_WIDTH:
            return "form with a bit count out of range"
        if form.prefix >> form.prefix_len:
            return "form with a prefix wider than its length"
    for index, form in enumerate(forms):
        for wider in forms[index + 1 :]:
            if wider.bit_count <= form.bit_count:
                return "forms are not in ascending order"
            if _share_a_prefix(form, wider):
                return "forms cannot be told apart"
    return None


def _share_a_prefix(a: Form, b: Form) -> bool:
    common = (1 << min(a.prefix_len, b.prefix_len)) - 1
    return (a.prefix ^ b.prefix) & common == 0


V358 = EncodingScheme((Form(1, 3, 0b1), Form(2, 5, 0b10), Form(2, 8, 0b00)))
"""Our scheme, and every cjdns build's by default (03 §3.1)."""


def encode_scheme(scheme: EncodingScheme) -> bytes:
    """The scheme as it travels: forms packed from the low end, little-endian (03 §3.4)."""
    number = length = 0
    for form in scheme.forms:
        fields = form.prefix_len | form.bit_count << _PREFIX_LEN_BITS
        number |= (fields | form.prefix << (_PREFIX_LEN_BITS + _BIT_COUNT_BITS)) << length
        length += _PREFIX_LEN_BITS + _BIT_COUNT_BITS + form.prefix_len
    return number.to_bytes((length + 7) // 8, "little")


def decode_scheme(data: bytes) -> EncodingScheme:
    """The scheme in `data`; `DecodeError` when it is cut off or not sane (03 §3.4)."""
    if len(data) > _LONGEST_SCHEME_BYTES and any(data[_LONGEST_SCHEME_BYTES:]):
        raise DecodeError("scheme too long")
    number = int.from_bytes(data[:_LONGEST_SCHEME_BYTES], "little")
    bits_left = len(data) * 8
    forms: list[Form] = []
    while number:
        prefix_len = number & _MAX_FIELD
        bit_count = number >> _PREFIX_LEN_BITS & _MAX_FIELD
        length = _PREFIX_LEN_BITS + _BIT_COUNT_BITS + prefix_len
        if bit_count == 0:
            raise DecodeError("scheme with stray bits at the end")
        if length > bits_left:
            raise DecodeError("scheme is cut off")
        prefix = number >> (_PREFIX_LEN_BITS + _BIT_COUNT_BITS) & ((1 << prefix_len) - 1)
        forms.append(Form(prefix_len, bit_count, prefix))
        number >>= length
        bits_left -= length
    flaw = _flaw(tuple(forms))
    if flaw is not None:
        raise DecodeError(flaw)
    return EncodingScheme(tuple(forms))


# 31 forms of 5 + 5 + 31 bits, in whole bytes.
_LONGEST_SCHEME_BYTES = (_MAX_FIELD * (_PREFIX_LEN_BITS + _BIT_COUNT_BITS + _MAX_FIELD) + 7) // 8


def form_of(scheme: EncodingScheme, label: Label) -> int | None:
    """The index of the form the label's first director is in; None if no prefix matches."""
    for index, form in enumerate(scheme.forms):
        if form.matches(label):
            return index
    return None


def first_director(scheme: EncodingScheme, label: Label) -> Director | None:
    """The label's first director; None if no form matches."""
    index = form_of(scheme, label)
    if index is None:
        return None
    form = scheme.forms[index]
    return Director(index, form.width, _interface_of(scheme, form, _data_of(form, label)))


def encode_director(scheme: EncodingScheme, interface: int, form: int) -> int | None:
    """The director bits for an interface in form number `form`; None if it does not fit."""
    if not 0 <= form < len(scheme.forms):
        return None
    data = _data_for(scheme, scheme.forms[form], interface)
    if data is None:
        return None
    return scheme.forms[form].prefix | data << scheme.forms[form].prefix_len


def smallest_form(scheme: EncodingScheme, interface: int) -> int | None:
    """The first form that can name the interface; None if none can."""
    for index, form in enumerate(scheme.forms):
        if _data_for(scheme, form, interface) is not None:
            return index
    return None


def one_hop_label(interface: int, scheme: EncodingScheme = V358) -> Label:
    """The label of a direct peer: its director in the smallest form, and the end marker (03 §3.2).

    `UsageError` when the scheme cannot name the interface. (The route to oneself is `SELF_LABEL`.)
    """
    index = smallest_form(scheme, interface)
    director = None if index is None else encode_director(scheme, interface, index)
    if index is None or director is None:
        raise UsageError(f"interface {interface} cannot be written in this scheme")
    return Label(1 << scheme.forms[index].width | director)


def is_one_hop(scheme: EncodingScheme, label: Label) -> bool:
    """Whether the label holds exactly one director (03 §4.2)."""
    director = first_director(scheme, label)
    return director is not None and label_length(label) == director.width


def is_self(scheme: EncodingScheme, label: Label) -> bool:
    """Whether the label's first director names the node's own router (03 §4.2)."""
    index = form_of(scheme, label)
    return index is not None and label & ((1 << scheme.forms[index].width) - 1) == 1


def convert(scheme: EncodingScheme, label: Label, form: int | None = None) -> Label | None:
    """Rewrite the first director into form number `form`, None for the narrowest that is enough.

    None when that is impossible: the number does not fit the form, the label becomes too long, or
    it would name the node itself (03 §4.3).
    """
    index = form_of(scheme, label)
    if index is None:
        return None
    if len(scheme.forms) == 1 or is_self(scheme, label):
        return label if form in (None, 0) else None
    old = scheme.forms[index]
    data = _data_of(old, label)
    number = _interface_of(scheme, old, data) if scheme == V358 else data
    new_index = _canonical_form(scheme, number) if form is None else form
    if new_index is None or not 0 <= new_index < len(scheme.forms):
        return None
    new = scheme.forms[new_index]
    new_data = _data_for(scheme, new, number) if scheme == V358 else number
    if new_data is None or new_data >> new.bit_count:
        return None
    rest = Label(label >> old.width)
    if label_length(rest) + new.width > MAX_LABEL_BITS:
        return None
    result = Label(rest << new.width | new_data << new.prefix_len | new.prefix)
    return None if is_self(scheme, result) else result


def label_for(target: Label, asker: Label, scheme: EncodingScheme = V358) -> Label | None:
    """Our path `target`, widened so that a peer reached by `asker` can splice it on (03 §4.3).

    A route to ourselves stays as it is. None when the widened label does not fit or a label is in
    no form of the scheme.
    """
    if is_self(scheme, target):
        return target
    target_form, asker_form = form_of(scheme, target), form_of(scheme, asker)
    if target_form is None or asker_form is None:
        return None
    if scheme.forms[target_form].width >= scheme.forms[asker_form].width:
        return target
    return convert(scheme, target, asker_form)


def build_route(first: Label, transit: Sequence[Hop]) -> Label | None:
    """The label of a whole route: `first` leaves the source, each hop carries it on (03 §4.3).

    Every transit director is widened to the form of the way back at that node. None when the
    route does not fit into a label.
    """
    route: Label | None = SELF_LABEL
    for hop in reversed(transit):
        onward = label_for(hop.towards_next, hop.towards_previous, hop.scheme)
        if onward is None or route is None:
            return None
        route = splice(route, onward)
    return None if route is None else splice(route, first)


def _data_of(form: Form, label: int) -> int:
    return label >> form.prefix_len & ((1 << form.bit_count) - 1)


def _interface_of(scheme: EncodingScheme, form: Form, data: int) -> int:
    """The interface a data value names (03 §3.2 for v358, §3.3 for the others)."""
    if scheme != V358:
        return data ^ 1 if len(scheme.forms) > 1 else data
    if form.prefix == 1:
        return data ^ 1 if data < 2 else data
    return data + 1 if data else 0


def _data_for(scheme: EncodingScheme, form: Form, interface: int) -> int | None:
    """The data value that names an interface, None if the form has none (03 §3.2, §3.3)."""
    if interface < 0:
        return None
    if scheme != V358:
        data = interface ^ 1 if len(scheme.forms) > 1 else interface
    elif form.prefix == 1:
        data = interface ^ 1 if interface < 2 else interface
    elif interface == SELF_INTERFACE:
        return None
    else:
        data = interface - 1 if interface else 0
    return data if data < 1 << form.bit_count else None


def _canonical_form(scheme: EncodingScheme, number: int) -> int | None:
    """The first form with enough data bits by the rule of 03 §4.3 step 4."""
    for index, form in enumerate(scheme.forms):
        value = number if form.prefix == 1 else max(number - 1, 0)
        if max(value.bit_length(), 1) <= form.bit_count:
            return index
    return None
