"""Write bytes in the base32 of cjdns, and read them back.

Place     keys.py and node_address.py -> here
Spec      docs/protocol/01 §1
Keeps     one text form per byte string: stray bits at the end are refused
"""

from __future__ import annotations

from dexmesh.errors import DecodeError

ALPHABET = "0123456789bcdfghjklmnpqrstuvwxyz"  # 01 §1: no a, e, i, o

# int() reads digits 0-9a-v of base 32: one call in C instead of a loop over the characters.
_PYTHON_DIGITS = "0123456789abcdefghijklmnopqrstuv"
_TO_PYTHON = {ord(one): "~" for one in map(chr, range(128))} | {
    ord(character): digit
    for ours in (ALPHABET, ALPHABET.upper())
    for character, digit in zip(ours, _PYTHON_DIGITS, strict=True)
}


def encode_base32(data: bytes) -> str:
    """The text of `data`, lower case, low bits first, the last character padded with zero bits."""
    number = int.from_bytes(data, "little")
    length = (len(data) * 8 + 4) // 5
    return "".join(ALPHABET[number >> (5 * place) & 31] for place in range(length))


def decode_base32(text: str) -> bytes:
    """The bytes of `text`, upper case allowed.

    Raises `DecodeError` for a foreign character, and when the bits left over at the end are five
    or more, or not zero.
    """
    number = 0
    if text:
        try:
            if not text.isascii():
                raise ValueError
            number = int(text[::-1].translate(_TO_PYTHON), 32)
        except ValueError:
            raise DecodeError("not a base32 character") from None
    length, spare_bits = divmod(len(text) * 5, 8)
    if spare_bits >= 5:
        raise DecodeError("base32 text of impossible length")
    if number >> (length * 8):
        raise DecodeError("base32 text with stray bits at the end")
    return number.to_bytes(length, "little")
