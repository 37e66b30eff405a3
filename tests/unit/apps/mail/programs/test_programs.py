"""The texts for stock mail programs: right for this node, and safe from what people are called."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from dexmesh.apps.base.me import Me
from dexmesh.apps.base.programs import Person
from dexmesh.apps.mail.programs import alpine, mailrc, mutt, opensmtpd, thunderbird
from dexmesh.apps.mail.programs.alpine import Alpine
from dexmesh.apps.mail.programs.mailrc import Flavour, Mailx
from dexmesh.apps.mail.programs.mutt import Mutt
from dexmesh.apps.mail.programs.opensmtpd import KnownName, OpenSmtpd
from dexmesh.apps.mail.programs.thunderbird import Form
from dexmesh.apps.mail.programs.values import OurNode, Situation
from dexmesh.errors import AppError
from dexmesh.wire.address import format_address, format_padded
from dexmesh.wire.keys import PublicKey, address_of, decode_key, encode_key, is_node_key


def _key_with_a_short_group() -> PublicKey:
    """A key whose address has a group with a leading zero, so that its spellings differ."""
    for number in range(100_000):
        key = PublicKey(number.to_bytes(32, "big"))
        if is_node_key(key) and ":0" in format_padded(address_of(key)):
            return key
    raise AssertionError("there are such keys")


ME = Me.of(_key_with_a_short_group())
PERSON = Person.named("stuart", "Stuart Little")
STOCK = Situation(ME, PERSON, None)
OURS = OurNode((25, 587), 143, "/usr/bin/dexmesh-sendmail", None)
NODE = Situation(ME, PERSON, OURS)
READABLE = Situation(
    ME, PERSON, OurNode((25, 587), 143, "/usr/bin/dexmesh-sendmail", "/m/stuart/Maildir")
)
OF_MBOX = Situation(
    ME, PERSON, OurNode((25,), 143, "/usr/bin/dexmesh-sendmail", "/m/s/Maildir", "/var/mail/s")
)
SMTPD = OpenSmtpd("6.8.0p2", "/etc/smtpd.conf", "/etc/aliases", "a", is_host_known=True)
S_NAIL = Mailx(Flavour.S_NAIL, "14.9.24", "~/.mailrc")
BSD = Mailx(Flavour.BSD_MAILX, "", "~/.mailrc")
MUTT = Mutt(is_neomutt=False, version="2.2.12", path="~/.muttrc")
NEOMUTT = Mutt(is_neomutt=True, version="20220429", path="~/.neomuttrc")


def settings(text: str) -> dict[str, str]:
    """`set name=value` and `name=value` lines."""
    return dict(re.findall(r"^(?:set )?([a-z_-]+)=(.*?)(?:  #.*)?$", text, re.MULTILINE))


# --- OpenSMTPD


def test_opensmtpd_knows_every_spelling_of_the_node() -> None:
    text = opensmtpd.configure(STOCK, SMTPD).text
    table = re.search(r"^table me \{(.*?)\}", text, re.MULTILINE | re.DOTALL)
    assert table is not None
    names = re.findall(r'"([^"]+)"', table.group(1))
    assert ME.padded_literal in names
    assert ME.literal in names
    assert ME.key_name in names
    assert ME.alt_name in names
    assert len(names) == len(set(names)) >= 4


def test_opensmtpd_relays_for_this_machine_only() -> None:
    text = opensmtpd.configure(STOCK, SMTPD).text
    relaying = [line for line in text.splitlines() if line.endswith('action "mesh"')]
    assert relaying == ['match from local for any action "mesh"']
    foreign = [line for line in text.splitlines() if line.startswith("match from src")]
    assert foreign == ['match from src "fc00::/8" for domain <me> action "local"']


def test_opensmtpd_before_6_4_is_refused_with_the_reason() -> None:
    old = OpenSmtpd("6.0.3p1", "/etc/smtpd.conf", "/etc/aliases", "a", is_host_known=True)
    with pytest.raises(AppError, match=r"6\.0\.3p1 has another language"):
        opensmtpd.configure(STOCK, old)
    new = OpenSmtpd("7.8.0p1", "/etc/smtpd.conf", "/etc/aliases", "a", is_host_known=True)
    assert 'action "mesh" relay' in opensmtpd.configure(STOCK, new).text


def test_opensmtpd_finds_key_names_of_contacts_without_a_resolver() -> None:
    bob = KnownName(ME.key_name, ME.address)
    text = opensmtpd.configure(STOCK, SMTPD, [bob]).text
    assert f'"{ME.key_name}" = "smtp://[{format_address(ME.address)}]"' in text
    lines = text.splitlines()
    named = lines.index(f'match from local for domain {{ "{ME.key_name}" }} action "named"')
    assert named < lines.index('match from local for any action "mesh"')
    assert "routes" not in opensmtpd.configure(STOCK, SMTPD).text


def test_opensmtpd_beside_our_node_hands_mesh_mail_to_its_submission_port() -> None:
    made = opensmtpd.configure(NODE, SMTPD)
    assert 'action "mesh" relay host "smtp://127.0.0.1:587"' in made.text
    assert format_padded(ME.address) not in made.text  # port 25 there is our node's
    assert any("submission_ports = [587]" in note for note in made.notes)


def test_opensmtpd_never_sends_to_the_port_it_listens_on_itself() -> None:
    only_25 = Situation(ME, PERSON, OurNode((25,), 143, "/s", None))
    assert "127.0.0.1:587" in opensmtpd.configure(only_25, SMTPD).text


def test_opensmtpd_is_told_to_add_its_host_name_where_it_would_not_start() -> None:
    lost = OpenSmtpd("6.8.0p2", "/etc/smtpd.conf", "/etc/aliases", "mole", is_host_known=False)
    assert any("127.0.1.1 mole" in note for note in opensmtpd.configure(STOCK, lost).notes)
    assert not any("127.0.1.1" in note for note in opensmtpd.configure(STOCK, SMTPD).notes)


def test_opensmtpd_explains_all_three_cures_of_the_start_order() -> None:
    notes = "\n".join(opensmtpd.configure(STOCK, SMTPD).notes)
    for cure in ("cjdns-wait-online", "ip_nonlocal_bind", "listen on ::"):
        assert cure in notes


# --- mailx


def test_s_nail_sends_through_this_machine_under_the_literal() -> None:
    found = settings(mailrc.configure(STOCK, S_NAIL).text)
    assert found["mta"] == "smtp://localhost"
    assert found["smtp-auth"] == "none"
    assert found["from"] == f'"Stuart Little <stuart@{ME.literal}>"'
    assert "inbox" not in found


def test_an_inbox_that_is_an_mbox_is_read_there_and_the_other_folders_in_the_maildir() -> None:
    made = settings(mailrc.configure(OF_MBOX, S_NAIL).text)
    assert (made["inbox"], made["folder"]) == ('"/var/mail/s"', '"maildir:///m/s/Maildir"')
    made = settings(mutt.configure(OF_MBOX, MUTT).text)
    assert (made["spoolfile"], made["folder"]) == ('"/var/mail/s"', '"/m/s/Maildir"')
    assert "mailx -f /var/mail/s" in " ".join(mailrc.configure(OF_MBOX, BSD).notes)
    assert "--mbox" in " ".join(mailrc.configure(READABLE, BSD).notes)


def test_s_nail_reads_the_maildir_of_our_node_where_it_may_and_imap_elsewhere() -> None:
    assert settings(mailrc.configure(READABLE, S_NAIL).text)["inbox"] == (
        '"maildir:///m/stuart/Maildir"'
    )
    assert settings(mailrc.configure(NODE, S_NAIL).text)["inbox"] == (
        "imap://stuart@localhost:143/INBOX"
    )


def test_s_nail_takes_another_port_where_our_node_is_not_on_25() -> None:
    moved = Situation(ME, PERSON, OurNode((587,), 0, "/s", None))
    found = settings(mailrc.configure(moved, S_NAIL).text)
    assert found["mta"] == "smtp://localhost:587"
    assert "inbox" not in found


def test_bsd_mailx_uses_the_key_name_with_opensmtpd_and_our_sendmail_with_our_node() -> None:
    stock = settings(mailrc.configure(STOCK, BSD).text)
    assert stock["from"] == f'"Stuart Little <stuart@{ME.key_name}>"'
    assert "sendmail" not in stock
    ours = settings(mailrc.configure(NODE, BSD).text)
    assert ours["sendmail"] == "/usr/bin/dexmesh-sendmail"
    assert ME.literal in ours["from"]


def test_whoever_says_mailx_and_gets_another_program_is_told() -> None:
    hidden = Mailx(Flavour.S_NAIL, "14.9.24", "~/.mailrc", is_mailx=False)
    assert any("another program" in note for note in mailrc.configure(STOCK, hidden).notes)
    assert not any("another program" in note for note in mailrc.configure(STOCK, S_NAIL).notes)


# --- alpine, mutt


def test_alpine_gets_the_literal_as_its_domain_and_no_tls_inside_this_machine() -> None:
    found = settings(alpine.configure(STOCK, Alpine("2.26", "~/.pinerc")).text)
    assert found["user-domain"] == ME.literal
    assert found["smtp-server"] == "localhost:25/notls"
    assert found["inbox-path"] == "/var/mail/stuart"


def test_alpine_reads_our_node_by_imap_or_only_sends() -> None:
    text = alpine.configure(NODE, Alpine("2.26", "~/.pinerc")).text
    assert settings(text)["inbox-path"] == "{localhost:143/user=stuart/novalidate-cert}INBOX"
    silent = Situation(ME, PERSON, OurNode((587,), 0, "/s", None))
    made = alpine.configure(silent, Alpine("2.26", "~/.pinerc"))
    assert "inbox-path" not in settings(made.text)
    assert settings(made.text)["smtp-server"] == "localhost:587/notls"
    assert any("IMAP is off" in note for note in made.notes)


def test_mutt_writes_literals_and_neomutt_key_names() -> None:
    assert settings(mutt.configure(STOCK, MUTT).text)["from"] == f'"stuart@{ME.literal}"'
    made = mutt.configure(STOCK, NEOMUTT)
    assert settings(made.text)["from"] == f'"stuart@{ME.key_name}"'
    assert any("Bad address" in note for note in made.notes)


def test_mutt_sends_by_smtp_with_opensmtpd_and_by_our_sendmail_with_our_node() -> None:
    assert settings(mutt.configure(STOCK, MUTT).text)["smtp_url"] == '"smtp://localhost"'
    ours = settings(mutt.configure(NODE, MUTT).text)
    assert ours["sendmail"] == '"/usr/bin/dexmesh-sendmail -oem -oi"'
    assert "smtp_url" not in ours
    assert ours["folder"] == '"imap://stuart@localhost:143/"'
    assert settings(mutt.configure(READABLE, MUTT).text)["spoolfile"] == '"/m/stuart/Maildir"'


# --- Thunderbird


def test_thunderbird_gets_its_account_as_preferences() -> None:
    made = thunderbird.configure(NODE, "115.0", Form.USER_JS)
    prefs = dict(re.findall(r'^user_pref\("([^"]+)", (.+)\);$', made.text, re.MULTILINE))
    assert prefs["mail.server.server1.port"] == "143"
    assert prefs["mail.smtpserver.smtp1.port"] == "587"
    assert prefs["mail.server.server1.userName"] == '"stuart"'
    assert prefs["mail.identity.id1.useremail"] == f'"stuart@{ME.key_name}"'
    assert any("dexmesh mail password" in note for note in made.notes)


def test_thunderbird_gets_its_account_as_xml() -> None:
    text = thunderbird.configure(NODE, "", Form.XML).text
    root = ElementTree.fromstring(text)
    assert root.findtext("emailProvider/domain") == ME.key_name
    assert root.findtext("emailProvider/incomingServer/port") == "143"
    assert root.findtext("emailProvider/outgoingServer/socketType") == "STARTTLS"


@pytest.mark.parametrize("situation", [STOCK, Situation(ME, PERSON, OurNode((25,), 0, "/s", None))])
def test_thunderbird_without_imap_is_refused_with_what_to_do(situation: Situation) -> None:
    with pytest.raises(AppError) as caught:
        thunderbird.account(situation)
    assert "dexmesh mail on" in caught.value.hint


# --- People


def test_a_name_cannot_break_out_of_its_quotes() -> None:
    evil = Person.named("stuart", 'Eve" \\\nset sendmail=/bin/false\t<x@y>')
    situation = Situation(ME, evil, None)
    for text in (
        mailrc.configure(situation, S_NAIL).text,
        mailrc.configure(situation, BSD).text,
        mutt.configure(situation, MUTT).text,
        alpine.configure(situation, Alpine("2.26", "~/.pinerc")).text,
    ):
        assert "sendmail=/bin" not in settings(text)
        assert not re.search(r"^set sendmail", text, re.MULTILINE)
        assert "\\" not in text


@pytest.mark.parametrize("user", ["", "a b", "x@y", "-f", "a\nb", "..", 'q"', "a" * 64])
def test_a_user_that_mail_cannot_carry_is_refused(user: str) -> None:
    with pytest.raises(AppError, match="no user name"):
        Person.named(user)


def test_somebody_without_a_name_is_called_as_the_user() -> None:
    assert Person.named("stuart", "  ").full_name == "stuart"
    assert Person.named("stuart", "Zoë O'Hara-Müller, Jr.").full_name == "Zoë O'Hara-Müller, Jr."


def test_the_key_in_the_texts_is_the_key_of_the_node() -> None:
    assert decode_key(encode_key(ME.key)) == ME.key
    assert ME.key_name in mailrc.configure(STOCK, BSD).text
