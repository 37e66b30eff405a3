"""The texts for stock phones: bound to the mesh, and safe from what people are called."""

from __future__ import annotations

import configparser
import re
from dataclasses import replace

import pytest

from dexmesh.apps.base.mailbox import Mailbox
from dexmesh.apps.base.me import Me
from dexmesh.apps.base.programs import Configuration, Person
from dexmesh.apps.call.programs import baresip, firewall, linphone
from dexmesh.apps.call.programs.baresip import Baresip
from dexmesh.apps.call.programs.linphone import Linphone
from dexmesh.apps.call.programs.values import Situation
from dexmesh.apps.contacts import exports
from dexmesh.apps.contacts.contact import Contact, card_of
from dexmesh.errors import AppError
from dexmesh.wire.address import format_address
from dexmesh.wire.keys import PublicKey, address_of, decode_key, is_node_key

ME = Me.of(decode_key("mwrbxrdfh8jyhuc1pz6w3wsducmgxftw28ymck45g8r9p7syz7d0.k"))
BOB, EVE = "fcbc:b27::1", "fcbc::2"
OWN = format_address(ME.address)
LINPHONE = Linphone("5.1.65", "~/.linphonerc", "~/.local/share/linphone")
MODULES = frozenset({"stdio", "g711", "opus", "alsa", "pulse", "account", "contact", "menu"})
BARESIP = Baresip("1.0.0", "~/.baresip", "/usr/lib/baresip/modules", MODULES)


def known(petname: str, address: str, local: str = "") -> exports.Person:
    """Somebody in the address book."""
    contact = Contact(petname, mails=(Mailbox(local or petname, f"[IPv6:{address}]"),))
    return exports.Person(contact, card_of(contact))


CONTACTS = (known("bob", BOB), known("eve", EVE, "`eve`"))
SITUATION = Situation(ME, Person.named("stuart", 'Stuart "S" Little'), CONTACTS, "tun3")


def sections(text: str) -> configparser.ConfigParser:
    """linphonerc, read by somebody else."""
    parser = configparser.ConfigParser()
    parser.read_string(text)
    return parser


def config_of(parts: tuple[Configuration, ...]) -> dict[str, list[str]]:
    """The lines of the file `config` by their first word."""
    found: dict[str, list[str]] = {}
    for line in parts[0].text.splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.partition(" ")
            found.setdefault(name, []).append(value)
    return found


# --- linphone


def test_linphone_listens_and_speaks_from_the_mesh_address_alone() -> None:
    read = sections(linphone.configure(SITUATION, LINPHONE).text)
    assert read["sip"]["bind_address"] == read["rtp"]["bind_address"] == OWN
    assert read["sip"]["guess_hostname"] == "0"
    assert read["sip"]["sip_tls_port"] == "0"
    assert read["sip"]["contact"] == f'"Stuart S Little" <sip:stuart@[{OWN}]>'
    assert read["net"]["firewall_policy"] == "0"
    assert not re.search("stun|nat_address", linphone.configure(SITUATION, LINPHONE).text, re.I)


def test_contacts_are_friends_and_who_does_not_fit_is_named() -> None:
    made = linphone.configure(SITUATION, LINPHONE)
    read = sections(made.text)
    assert read["friend_0"]["url"] == f'"bob" <sip:bob@[{BOB}]>'
    assert "friend_1" not in read
    assert any("not in its address book: eve: " in note for note in made.notes)


def test_the_weakness_of_linphone_is_told_with_what_helps() -> None:
    notes = "\n".join(linphone.configure(SITUATION, LINPHONE).notes)
    assert "can end linphone" in notes
    assert "dexmesh setup phone-firewall" in notes
    assert "mkdir -p ~/.local/share/linphone" in notes


def test_our_own_phone_on_the_same_port_is_told() -> None:
    assert not any("port 5060 of" in one for one in linphone.configure(SITUATION, LINPHONE).notes)
    both = replace(SITUATION, is_phone_on=True)
    for made in (linphone.configure(both, LINPHONE), baresip.configure(both, BARESIP)[0]):
        assert any("has port 5060 of the mesh address" in note for note in made.notes)


# --- baresip


def test_baresip_takes_its_address_from_the_mesh_device() -> None:
    lines = config_of(baresip.configure(SITUATION, BARESIP))
    assert lines["sip_listen"] == [f"[{OWN}]:5060"]
    assert lines["net_interface"] == ["tun3"]


def test_a_device_that_is_not_there_yet_is_guessed_and_told() -> None:
    made = baresip.configure(replace(SITUATION, device=None), BARESIP)
    assert config_of(made)["net_interface"] == ["tun0"]
    assert "the node does not run" in made[0].notes[0]
    assert not any("does not run" in one for one in baresip.configure(SITUATION, BARESIP)[0].notes)


def test_baresip_loads_what_is_there_and_the_best_codec_first() -> None:
    lines = config_of(baresip.configure(SITUATION, BARESIP))
    assert lines["module"] == ["stdio.so", "opus.so", "g711.so", "alsa.so"]
    assert lines["audio_source"] == ["alsa,default"]
    newer = replace(BARESIP, modules=(MODULES - {"alsa"}) | {"g722", "auconv", "auresamp"})
    lines = config_of(baresip.configure(SITUATION, newer))
    wanted = "stdio opus g722 g711 auconv auresamp pulse"
    assert lines["module"] == [f"{name}.so" for name in wanted.split()]
    assert lines["audio_player"] == ["pulse,"]


def test_baresip_without_a_module_for_sound_is_refused_with_the_way_out() -> None:
    mute = replace(BARESIP, modules=frozenset({"g711"}))
    with pytest.raises(AppError, match="no module for sound"):
        baresip.configure(SITUATION, mute)


def test_the_three_files_are_three() -> None:
    parts = baresip.configure(SITUATION, BARESIP)
    assert [part.path for part in parts] == [f"~/.baresip/{name}" for name in baresip.FILES]
    _, accounts, contacts = (part.text for part in parts)
    assert f'\n"Stuart S Little" <sip:stuart@[{OWN}]>;regint=0\n' in accounts
    assert contacts.endswith(f'\n"bob" <sip:bob@[{BOB}]>\n')


# --- the firewall


def test_contacts_alone_pass_and_we_ourselves() -> None:
    text = firewall.configure(SITUATION).text
    elements = re.search(r"elements = \{(.*?)\}", text, re.DOTALL)
    assert elements
    assert {one.strip() for one in elements[1].split(",")} - {""} == {BOB, EVE, OWN}
    assert f"ip6 daddr {OWN} ip6 saddr != @contacts" in text


def test_the_rules_cover_the_ports_that_the_phones_are_given() -> None:
    text = firewall.configure(SITUATION).text
    assert "dport { 5060, 7078-7099, 9078-9098 } counter drop" in text
    config = config_of(baresip.configure(SITUATION, BARESIP))
    assert config["rtp_ports"] == ["7078-7098"]  # even, with RTCP above
    read = sections(linphone.configure(SITUATION, LINPHONE).text)
    assert (read["rtp"]["audio_rtp_port"], read["rtp"]["video_rtp_port"]) == ("7078", "9078")


def test_a_contact_with_a_key_is_let_in_by_its_address() -> None:
    numbers = (PublicKey(number.to_bytes(32, "big")) for number in range(100_000))
    key = next(one for one in numbers if is_node_key(one))
    contact = Contact("kim", keys=(key,))
    someone = exports.Person(contact, card_of(contact))
    text = firewall.configure(replace(SITUATION, contacts=(someone,))).text
    assert format_address(address_of(key)) in text
