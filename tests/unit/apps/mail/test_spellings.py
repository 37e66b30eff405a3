"""How one address is written to servers that compare text."""

from dexmesh.apps.mail.proto.spellings import candidates, may_be_spelling
from dexmesh.wire.address import parse_address
from dexmesh.wire.keys import address_of, decode_key

ADDRESS = parse_address("fcbc:b27:0:1::a21c")
PADDED = "[IPv6:fcbc:0b27:0000:0001:0000:0000:0000:a21c]"
SHORT = "[IPv6:fcbc:b27:0:1::a21c]"
UNPADDED = "[IPv6:fcbc:b27:0:1:0:0:0:a21c]"
KEY = decode_key("mwrbxrdfh8jyhuc1pz6w3wsducmgxftw28ymck45g8r9p7syz7d0.k")


def test_what_the_user_wrote_goes_first_and_nothing_comes_twice() -> None:
    assert candidates(SHORT, ADDRESS) == (SHORT, PADDED, UNPADDED)
    assert candidates(PADDED.upper(), ADDRESS) == (PADDED.upper(), SHORT, UNPADDED)


def test_what_worked_before_goes_before_what_the_user_wrote() -> None:
    assert candidates(SHORT, ADDRESS, UNPADDED) == (UNPADDED, SHORT, PADDED)


def test_a_name_goes_out_as_a_literal() -> None:
    assert candidates("bob", ADDRESS) == (PADDED, SHORT, UNPADDED)


def test_the_key_name_is_the_last_resort() -> None:
    address = address_of(KEY)
    found = candidates("bob", address, key=KEY)
    assert found[-1] == "mwrbxrdfh8jyhuc1pz6w3wsducmgxftw28ymck45g8r9p7syz7d0.k"
    assert len(found) > 1


def test_a_remembered_domain_of_another_node_is_not_used() -> None:
    assert candidates(SHORT, ADDRESS, "[IPv6:fc00::1]") == (SHORT, PADDED, UNPADDED)
    assert candidates("[IPv6:fc00::1]", ADDRESS) == (PADDED, SHORT, UNPADDED)


def test_refusals_that_are_about_something_else_end_the_search() -> None:
    assert may_be_spelling(550, "")
    assert may_be_spelling(554, "5.7.1")
    assert not may_be_spelling(450, "")
    assert not may_be_spelling(552, "")
    assert not may_be_spelling(550, "5.2.1")
