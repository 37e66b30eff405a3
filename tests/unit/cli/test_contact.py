"""`dexmesh contact ...`: people come in, are shown and changed, and go, on disk and in words."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dexmesh.apps.base.control import Caller, ControlServer, Users
from dexmesh.apps.base.home import Home
from dexmesh.apps.base.settings import (
    AppSettings,
    MailSettings,
    PhoneSettings,
    UserSettings,
    save_settings,
)
from dexmesh.apps.contacts.book import AddressBook
from dexmesh.apps.contacts.contact import How
from dexmesh.apps.contacts.invitation import (
    HEADER,
    Invitation,
    InvitedPeer,
    decode_invitation,
    encode_invitation,
)
from dexmesh.config.reader import load_settings as load_config
from dexmesh.wire.keys import address_of, decode_key, encode_key
from tests.unit.admin.fake import KEY_B
from tests.unit.apps.contacts.samples import (
    BOB_LITERAL,
    BOB_PADDED,
    BOB_SHORT,
    STUART_KEY,
    STUART_LITERAL,
    stuart,
)
from tests.unit.cli.conftest import Run

STUART = decode_key(STUART_KEY)
INVITATION = encode_invitation(Invitation(STUART, "stuart", "stu", "Stuart Cheshire"))
PEER = InvitedPeer("192.0.2.7:41234", KEY_B, "me", "pass word")
WITH_PEER = encode_invitation(Invitation(STUART, "stuart", peers=(PEER,)))


@pytest.fixture
def apps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home of the apps that nobody serves."""
    folder = tmp_path / "apps"
    folder.mkdir()
    monkeypatch.setenv("DEXMESH_HOME", str(folder))
    for variable in ("VISUAL", "EDITOR", "SUDO_USER"):
        monkeypatch.delenv(variable, raising=False)
    return Home(folder)


@pytest.fixture
def book(apps: Home) -> AddressBook:
    """The address book of that home."""
    return AddressBook(apps.contacts)


def settle(apps: Home, *users: str) -> None:
    """Say who lives here; the account of the first is ours."""
    import pwd

    own = pwd.getpwuid(os.geteuid()).pw_name
    settings = [UserSettings(name, own if not at else None) for at, name in enumerate(users)]
    save_settings(apps, AppSettings(KEY_B, MailSettings(users=tuple(settings))))


@contextlib.contextmanager
def service(apps: Home, **answers: Any) -> Iterator[list[tuple[str, str, dict[str, Any]]]]:
    """A control socket that notes the calls (name, user, arguments) and gives these answers."""
    calls: list[tuple[str, str, dict[str, Any]]] = []
    ready, done = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    def answering(name: str, answer: Any) -> Callable[..., Any]:
        async def call(caller: Caller, arguments: dict[str, Any]) -> dict[str, Any]:
            calls.append((name, caller.user, arguments))
            if isinstance(answer, Exception):
                raise answer
            told: dict[str, Any] = answer
            return told

        return call

    async def serve() -> None:
        settings = MailSettings(users=(UserSettings("me"), UserSettings("mia")))
        server = ControlServer(Users(settings, os.geteuid()))
        for name, answer in answers.items():
            server.register(name.replace("_", "."), answering(name.replace("_", "."), answer))
        await server.start(apps.control_socket)
        loops.append(asyncio.get_running_loop())
        ready.set()
        await done.wait()
        await server.close()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    try:
        yield calls
    finally:
        loops[0].call_soon_threadsafe(done.set)
        thread.join(10)


# --- Add ----------------------------------------------------------------------------------------------


def test_a_mailbox_is_added_in_the_spelling_it_was_given(run: Run, book: AddressBook) -> None:
    done = run("contact", "add", "Bob", f"bob@[ipv6:{BOB_PADDED}]", "--full-name", "Bob B")
    assert done.exit_code == 0, done.output
    assert done.stdout == f"bob is in the address book: bob@[ipv6:{BOB_PADDED}]\n"
    assert "the mail service does not run" in done.stderr
    assert book.require("bob").full_name == "Bob B"
    file = book.path / "bob.vcf"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("word", [BOB_SHORT, BOB_PADDED, f"[IPv6:{BOB_SHORT}]", f"[{BOB_SHORT}]"])
def test_a_bare_address_means_the_user_of_the_petname_and_that_is_said(
    run: Run, book: AddressBook, word: str
) -> None:
    done = run("contact", "add", "bob", word)
    assert str(book.require("bob").mails[0]) == f"bob@{BOB_LITERAL}"
    assert "mail goes to the user 'bob' there" in done.stderr
    assert "contact edit bob --user NAME" in done.stderr


@pytest.mark.parametrize(
    "arguments", [[STUART_KEY], ["--key", STUART_KEY], ["--key", STUART_KEY[:-2]]]
)
def test_a_key_is_enough(run: Run, book: AddressBook, arguments: list[str]) -> None:
    assert run("contact", "add", "Stuart Cheshire", *arguments, "--no-check").exit_code == 0
    contact = book.require("stuart-cheshire")
    assert (contact.full_name, contact.keys) == ("Stuart Cheshire", (STUART,))
    assert str(contact.mails[0]) == f"stuart-cheshire@{STUART_LITERAL}"
    assert not contact.is_verified


def test_everything_can_be_said_at_once(run: Run, book: AddressBook) -> None:
    done = run(
        *("contact", "add", "stu", f"stuart@{STUART_KEY}", "s@example.org", "--verified", "--json"),
        *("--sip", "stuart@[fc00::7]", "--note", "a\nb", "--no-check"),
    )
    contact = book.require("stu")
    assert contact.sips == ("sip:stuart@[fc00::7]",)
    assert (contact.note, contact.keys) == ("a\nb", (STUART,))
    assert contact.verified is not None
    assert contact.verified.how is How.BY_HAND
    told = json.loads(done.stdout)
    assert told["mails"] == [f"stuart@{STUART_KEY}", "s@example.org"]
    assert f"stuart@{STUART_LITERAL}" in told["nodes"][0]["mail"]


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        ([f"bob@[{BOB_PADDED}]"], "lacks the tag", f"Write bob@{BOB_LITERAL}"),
        ([f"bob@{BOB_SHORT}"], "lacks the tag", f"Write bob@{BOB_LITERAL}"),
        ([f"bob@{BOB_LITERAL}", "--key", STUART_KEY], "not the key of the address", "mistyped"),
        ([f"bob@x{STUART_KEY[1:]}"], "no node of the mesh", "name@<key>.k"),
        (["bob@nobody"], "no node of the mesh", "name@<key>.k"),
        (["bob@[IPv6:2001:db8::1]"], "no node of the mesh", "name@<key>.k"),
        (["bob@example.org"], "none of these addresses is on the mesh", "add his key"),
        (["nonsense"], "no mail address", "an invitation"),
        (["--key", "abc.k"], "52 characters", "52 characters and .k"),
        ([BOB_SHORT, "--sip", "no sip"], "no SIP address", "sip:bob@"),
    ],
)
def test_what_is_wrong_is_refused_with_what_to_type(
    run: Run, book: AddressBook, arguments: list[str], message: str, hint: str
) -> None:
    done = run("contact", "add", "bob", *arguments)
    assert done.exit_code == 1
    assert message in done.stderr
    assert hint in done.stderr
    assert book.all() == ()


def test_a_contact_needs_an_address(run: Run, apps: Home) -> None:
    assert run("contact", "add", "bob").exit_code == 2
    assert run("contact", "add", "../..", BOB_SHORT).exit_code == 1


def test_the_same_mailbox_in_another_spelling_is_named(run: Run, apps: Home) -> None:
    assert run("contact", "add", "bob", f"bob@{BOB_LITERAL}", "--no-check").exit_code == 0
    again = run("contact", "add", "robert", f"BOB@[IPv6:{BOB_PADDED}]")
    assert again.exit_code == 1
    assert "is the address of bob" in again.stderr
    assert "dexmesh contact show bob" in again.stderr
    taken = run("contact", "add", "bob", STUART_KEY)
    assert "bob is in the book already" in taken.stderr


def test_a_petname_stands_for_its_node_when_somebody_else_there_is_added(
    run: Run, book: AddressBook
) -> None:
    run("contact", "add", "bob", f"bob@{BOB_LITERAL}", "--no-check")
    run("contact", "add", "alice", "alice@bob", "--no-check")
    assert str(book.require("alice").mails[0]) == f"alice@{BOB_LITERAL}"


# --- The service --------------------------------------------------------------------------------------


def test_the_service_is_asked_whether_mail_gets_there(run: Run, apps: Home) -> None:
    report = {"sentences": ["bob answers", "and reaches us"], "is_good": True}
    with service(apps, reach_check=report) as calls:
        done = run("contact", "add", "bob", f"bob@{BOB_LITERAL}")
        told = run("contact", "add", "eve", "eve@[IPv6:fc00::5]", "--json")
    assert calls[0][::2] == ("reach.check", {"to": BOB_SHORT})
    assert "bob answers\nand reaches us\n" in done.stderr
    assert json.loads(told.stdout)["reach"] == report


def test_where_there_is_a_phone_and_no_mail_nothing_is_said_about_mail(
    apps: Home, run: Run
) -> None:
    phone = PhoneSettings(is_on=True)
    save_settings(apps, AppSettings(KEY_B, MailSettings(users=(UserSettings("me"),)), phone=phone))
    with service(apps, reach_check={"sentences": ["no mail server"]}) as calls:
        done = run("contact", "add", "bob", f"bob@{BOB_LITERAL}")
    assert calls == []
    assert done.stderr == '`dexmesh call bob` calls, `dexmesh text bob "words"` writes\n'


def test_a_service_that_fails_fails_nothing(run: Run, apps: Home, book: AddressBook) -> None:
    with service(apps, reach_check=RuntimeError("oh"), mail_send=RuntimeError("oh")):
        done = run("contact", "add", INVITATION)
    assert done.exit_code == 0
    assert "whether mail gets there is not known" in done.stderr
    assert "was not told that you accepted" in done.stderr
    assert book.petnames() == ("stu",)


def test_accepting_tells_the_inviter_who_we_are(run: Run, apps: Home, book: AddressBook) -> None:
    settle(apps, "me")
    with service(apps, reach_check={"sentences": []}, mail_send={}) as calls:
        done = run("contact", "add", INVITATION)
    assert done.exit_code == 0, done.output
    [(_name, user, sent)] = [one for one in calls if one[0] == "mail.send"]
    assert (user, sent["to"]) == ("me", [f"stuart@{STUART_LITERAL}"])
    own = decode_invitation(sent["headers"][HEADER])
    assert (own.key, own.user) == (KEY_B, "me")
    assert "stu is told that you accepted" in done.stderr
    contact = book.require("stu")
    assert contact.keys == (STUART,)
    assert contact.verified is not None
    assert contact.verified.how is How.INVITED


def test_without_the_service_it_is_said_what_is_missing(run: Run, apps: Home) -> None:
    settle(apps, "me")
    done = run("contact", "add", INVITATION)
    assert done.exit_code == 0
    assert "stu was not told that you accepted: the mail service does not run" in done.stderr


# --- Invitations --------------------------------------------------------------------------------------


def test_an_invitation_says_who_we_are(run: Run, apps: Home, tmp_path: Path) -> None:
    settle(apps, "me", "eve")
    picture = tmp_path / "me.png"
    done = run("contact", "invite", "--qr", "--png", picture, "--full-name", "Me Myself")
    uri, *drawing = done.stdout.rstrip("\n").split("\n")
    assert decode_invitation(uri) == Invitation(KEY_B, "me", "me", "Me Myself")
    assert len(drawing) > 20
    assert picture.read_bytes().startswith(b"\x89PNG")
    told = json.loads(run("contact", "invite", "--user", "eve", "--name", "evi", "--json").stdout)
    assert decode_invitation(told["invitation"]).petname == "evi"
    assert told["mail"].startswith("eve@[IPv6:")


def test_a_user_who_is_not_there_invites_nobody(run: Run, apps: Home) -> None:
    settle(apps, "me")
    done = run("contact", "invite", "--user", "eve")
    assert done.exit_code == 1
    assert "users are: me" in done.stderr


def test_a_peer_of_the_configuration_or_as_published_goes_along_and_comes_in(
    run: Run, apps: Home, config_file: Path, book: AddressBook
) -> None:
    settle(apps, "me")
    key = encode_key(KEY_B)
    published = (
        f'"192.0.2.7:41234": {{"publicKey": "{key}", "password": "pass word", "login": "me"}},'
    )
    done = run("contact", "invite", "--peer", published, "--full-name", "")
    assert "holds the password of a peer" in done.stderr
    [peer] = decode_invitation(done.stdout).peers
    assert peer == PEER
    accepted = run(
        "contact", "add", WITH_PEER, "--with-peers", "--no-request", "--config", config_file
    )
    assert (
        f"peer 192.0.2.7:41234: is in {config_file}; the running node: not running"
        in accepted.stderr
    )
    settings = load_config(config_file.read_bytes(), "x").settings
    [called] = [one for each in settings.udp_interfaces for one in each.connect_to]
    assert (called.public_key, called.password, called.login) == (KEY_B, b"pass word", b"me")
    again = run("contact", "invite", "--peer", "192.0.2.7:41234", "-c", config_file, "--user", "me")
    assert decode_invitation(again.stdout).peers == (PEER,)
    unknown = run("contact", "invite", "--peer", "192.0.2.9:1", "-c", config_file, "--user", "me")
    assert "It calls: 192.0.2.7:41234" in unknown.stderr
    twice = run("contact", "scan", WITH_PEER, "--with-peers", "--no-request", "-c", config_file)
    assert "not added: 192.0.2.7:41234 is in the file already" in twice.stderr
    assert book.petnames() == ("stuart",)


def test_peers_are_only_shown_unless_asked_for(run: Run, apps: Home, config_file: Path) -> None:
    before = config_file.read_bytes()
    done = run("contact", "add", WITH_PEER, "--no-request", "--no-check", "-c", config_file)
    assert f"dexmesh peer add 192.0.2.7:41234 --key {encode_key(KEY_B)} --login me" in done.stderr
    assert config_file.read_bytes() == before


@pytest.mark.parametrize(
    "wrong", ["x{", '{"a": 1}', '{"192.0.2.7:1": {"publicKey": "x"}}', "{}", "[{]"]
)
def test_a_peer_that_is_none_is_refused(run: Run, apps: Home, wrong: str) -> None:
    settle(apps, "me")
    done = run("contact", "invite", "--peer", wrong)
    assert done.exit_code == 1
    assert "no peer as they are published" in done.stderr


def test_a_damaged_invitation_makes_nobody(run: Run, book: AddressBook) -> None:
    done = run("contact", "add", INVITATION[:-1] + ("0" if INVITATION[-1] != "0" else "1"))
    assert done.exit_code == 1
    assert "its checksum does not fit" in done.stderr
    assert book.petnames() == ()


def test_a_name_in_any_script_gives_a_petname_or_says_how_to_give_one(
    run: Run, book: AddressBook
) -> None:
    assert run("contact", "add", "Björn", BOB_SHORT, "--no-check").exit_code == 0
    assert book.require("bjorn").full_name == "Björn"
    done = run("contact", "add", "李小龍", "x@[IPv6:fc00::1]", "--no-check")
    assert done.exit_code == 1
    assert "no petname can be made of '李小龍'" in done.stderr
    assert "PETNAME ADDRESS --full-name '李小龍'" in done.stderr
    assert run("contact", "add", "B_rn", "x@[IPv6:fc00::1]", "--no-check").exit_code == 1


def test_a_code_that_a_terminal_would_break_is_not_drawn(
    run: Run, apps: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(apps, "mia")
    assert run("contact", "invite", "--qr").exit_code == 0  # a file has no width
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr("dexmesh.cli.contact_show.sys", _OnTerminal())
    done = run("contact", "invite", "--qr")
    assert done.exit_code == 1
    assert "the QR code needs 41 columns, this terminal has 40" in done.stderr
    monkeypatch.setenv("COLUMNS", "41")
    assert run("contact", "invite", "--qr").exit_code == 0


class _OnTerminal:
    """`sys` whose standard output is a terminal."""

    def __init__(self) -> None:
        self.stdout = io.StringIO()
        self.stdout.isatty = lambda: True  # type: ignore[method-assign]


def test_nobody_becomes_a_contact_of_his_own(run: Run, apps: Home, book: AddressBook) -> None:
    settle(apps, "mia", "tom")
    own = encode_invitation(Invitation(KEY_B, "mia"))
    done = run("contact", "add", own)
    assert done.exit_code == 1
    assert "that is your own invitation" in done.stderr
    assert run("contact", "scan", own).exit_code == 1
    assert book.petnames() == ()
    run("contact", "add", own, "--user", "tom", "--no-check", "--no-request")
    assert book.petnames() == ("mia",)  # the address book is that of the whole node


def test_an_invitation_to_a_node_without_mail_says_so(run: Run, apps: Home) -> None:
    from dataclasses import replace

    from dexmesh.apps.base.settings import load_settings

    settle(apps, "mia")
    assert "mail is not switched on here" in run("contact", "invite").stderr
    settings = load_settings(apps)
    save_settings(apps, replace(settings, mail=replace(settings.mail, is_on=True)))
    assert run("contact", "invite").stderr == ""


def test_the_petname_may_be_ones_own_or_gets_a_number(run: Run, book: AddressBook) -> None:
    run("contact", "add", "stu", BOB_SHORT, "--no-check")
    run("contact", "add", INVITATION, "--no-check", "--no-request")
    assert book.petnames() == ("stu", "stu-2")
    run("contact", "remove", "stu-2", "--yes")
    run("contact", "add", "chesh", INVITATION, "--no-check", "--no-request")
    assert book.petnames() == ("chesh", "stu")


def test_an_invitation_of_somebody_known_adds_the_key_and_verifies_him(
    run: Run, book: AddressBook
) -> None:
    run("contact", "add", "stuart", f"stuart@{STUART_LITERAL}", "--note", "x", "--no-check")
    run("contact", "add", INVITATION, "--no-check", "--no-request")
    contact = book.require("stuart")
    assert (book.petnames(), contact.keys, contact.note) == (("stuart",), (STUART,), "x")
    assert contact.is_verified


def test_a_text_file_and_standard_input_are_searched_for_an_invitation(
    run: Run, book: AddressBook, tmp_path: Path
) -> None:
    text = f"Hello!\n\n    {INVITATION}\n\nBye\n"
    (tmp_path / "mail.txt").write_text(text)
    options = ("--no-check", "--no-request")
    assert run("contact", "scan", tmp_path / "mail.txt", "--as", "a", *options).exit_code == 0
    assert run("contact", "scan", "-", *options, stdin=text).exit_code == 0
    assert book.petnames() == ("a",)
    assert run("contact", "scan", "-", stdin="nothing").exit_code == 1


def test_a_picture_is_read_by_zbar(
    run: Run, book: AddressBook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = tmp_path / "qr.png"
    picture.write_bytes(b"\x89PNG")
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    missing = run("contact", "scan", picture)
    assert "zbarimg is needed" in missing.stderr
    assert "zbar-tools" in missing.stderr
    for name in ("zbarimg", "zbarcam"):
        (programs / name).write_text(f"#!/bin/sh\necho '{INVITATION}'\n")
        (programs / name).chmod(0o755)
    options = ("--no-check", "--no-request")
    assert run("contact", "scan", picture, *options).exit_code == 0
    verified = book.require("stu").verified
    assert verified is not None
    assert verified.how is How.SCANNED
    assert run("contact", "scan", *options).exit_code == 0


def test_a_camera_that_is_not_there_is_told(
    run: Run, apps: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, code in (("zbarcam", 1), ("zbarimg", 4)):
        (tmp_path / name).write_text(f"#!/bin/sh\necho 'ERROR: no video device' >&2\nexit {code}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    done = run("contact", "scan")
    assert "zbarcam failed: ERROR: no video device" in done.stderr
    assert "dexmesh contact scan PICTURE" in done.stderr
    (tmp_path / "cat.png").write_bytes(b"\x89PNG")
    assert "no invitation was found in" in run("contact", "scan", tmp_path / "cat.png").stderr


# --- Show, change, remove -----------------------------------------------------------------------------


@pytest.fixture
def people(run: Run, book: AddressBook) -> AddressBook:
    """Two contacts."""
    from tests.unit.apps.contacts.samples import bob

    book.add(stuart())
    book.add(bob())
    return book


def test_everybody_is_listed(run: Run, people: AddressBook) -> None:
    done = run("contact", "list")
    assert (
        done.stdout
        == f"bob\t\tbob@{BOB_LITERAL}\t\nstuart\tStuart Cheshire\tstuart@{STUART_LITERAL}\t\n"
    )
    assert run("contact", "list", "CHESH").stdout.startswith("stuart\t")
    assert "nobody matches" in run("contact", "list", "xyz").stderr
    (people.path / "eve.vcf").write_text("broken")
    told = json.loads(run("contact", "list", "--json").stdout)
    assert [one["petname"] for one in told["contacts"]] == ["bob", "stuart"]
    assert "eve.vcf" in told["problems"][0]


@pytest.mark.parametrize(
    "who", ["stuart", "Stuart Cheshire", STUART_KEY, f"STUART@{STUART_LITERAL}"]
)
def test_a_contact_is_shown_in_every_spelling(run: Run, people: AddressBook, who: str) -> None:
    done = run("contact", "show", who, "--qr")
    for spelling in (
        f"stuart@{STUART_LITERAL}",
        f"stuart@{STUART_KEY}",
        f"stuart@{STUART_KEY[:-2]}.cjdns.alt",
        "stuart@stuart.cjdns.alt",
        f"sip:stuart@[{STUART_LITERAL[6:]}",
        "▄▄▄▄▄▄▄",
    ):
        assert spelling in done.stdout
    told = json.loads(run("contact", "show", who, "--json").stdout)
    assert decode_invitation(told["invitation"]).mailbox.local == "stuart"


def test_without_a_key_there_is_no_code_and_without_a_contact_a_suggestion(
    run: Run, people: AddressBook
) -> None:
    no_key = run("contact", "show", "bob", "--qr")
    assert no_key.exit_code == 1
    assert "--key KEY.k" in no_key.stderr
    wrong = run("contact", "show", "stuartt")
    assert wrong.exit_code == 1
    assert "Did you mean stuart?" in wrong.stderr


def test_what_a_card_says_cannot_steer_the_terminal(run: Run, people: AddressBook) -> None:
    from dataclasses import replace

    people.edit("bob", replace(people.require("bob"), full_name="a\u202eb\u200b"))
    assert "\u202e" not in run("contact", "show", "bob").stdout
    assert "\u202e" not in run("contact", "list").stdout


def test_options_change_a_contact(run: Run, people: AddressBook) -> None:
    done = run(
        *(
            "contact",
            "edit",
            "bob",
            "--petname",
            "robert",
            "--full-name",
            "Robert",
            "--user",
            "rob",
        ),
        *("--add", STUART_KEY, "--note", "n", "--verified", "--sip", "rob@[fc00::7]"),
    )
    assert done.exit_code == 0, done.output
    contact = people.require("robert")
    assert [str(one) for one in contact.mails] == [f"rob@{BOB_LITERAL}", f"bob@{STUART_LITERAL}"]
    assert (contact.full_name, contact.note, contact.is_verified) == ("Robert", "n", True)
    run(
        "contact",
        "edit",
        "robert",
        "--drop",
        f"BOB@{STUART_KEY}",
        "--drop",
        STUART_KEY,
        "--unverified",
    )
    contact = people.require("robert")
    assert [str(one) for one in contact.mails] == [f"rob@{BOB_LITERAL}"]
    assert (contact.keys, contact.is_verified) == ((), False)
    missing = run("contact", "edit", "robert", "--drop", "x@y.z")
    assert "robert has no x@y.z" in missing.stderr
    same = run("contact", "edit", "robert", "--note", "n", "--json")
    assert json.loads(same.stdout)["changed"] is False


def test_a_key_of_another_node_cannot_be_edited_in(run: Run, people: AddressBook) -> None:
    done = run("contact", "edit", "bob", "--key", STUART_KEY)
    assert done.exit_code == 1
    assert people.require("bob").keys == ()


def _editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    program = tmp_path / "edit it"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("EDITOR", f"'{program}' --wait")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_an_editor_changes_the_whole_card(
    run: Run, people: AddressBook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _editor(tmp_path, monkeypatch, 'sed -i "s/^FN:.*/FN:Bob B\\nBDAY:19700101/" "$2"')
    assert run("contact", "edit", "bob").stdout == "bob is changed\n"
    assert people.require("bob").full_name == "Bob B"
    assert people.card("bob").text("BDAY") == "19700101"
    assert list(tmp_path.glob("*.vcf")) == []
    _editor(tmp_path, monkeypatch, "true")
    assert run("contact", "edit", "bob").stdout == "bob stays as before\n"
    _editor(tmp_path, monkeypatch, 'sed -i "/BDAY/d" "$2"')
    run("contact", "edit", "bob")
    assert people.card("bob").text("BDAY") == ""


def test_what_an_editor_left_wrong_is_kept_and_nothing_changes(
    run: Run, people: AddressBook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _editor(tmp_path, monkeypatch, 'echo nonsense > "$2"')
    done = run("contact", "edit", "bob")
    assert done.exit_code == 1
    [kept] = tmp_path.glob("bob-*.vcf")
    assert f"your text is kept in {kept}" in done.stderr
    assert kept.read_text() == "nonsense\n"
    assert people.petname_of(people.require("bob").addresses[0]) == "bob"


def test_what_changed_meanwhile_is_not_overwritten(
    run: Run, people: AddressBook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = people.path / "bob.vcf"
    script = f'sed -i "s/^FN:.*/FN:Mine/" "$2"; sed -i "s/^FN:.*/FN:Theirs\\r/" "{file}"'
    _editor(tmp_path, monkeypatch, script)
    done = run("contact", "edit", "bob")
    assert done.exit_code == 1
    assert "was changed by another program meanwhile" in done.stderr
    assert AddressBook(people.path).require("bob").full_name == "Theirs"


def test_without_an_editor_and_options_it_is_a_wrong_usage(
    run: Run, people: AddressBook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    done = run("contact", "edit", "bob")
    assert done.exit_code == 2
    assert "kept" not in done.stderr
    assert list(tmp_path.glob("*.vcf")) == []  # nobody wrote anything that could be lost


def test_an_editor_that_fails_at_once_leaves_nothing_behind(
    run: Run, people: AddressBook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _editor(tmp_path, monkeypatch, "exit 3")
    assert run("contact", "edit", "bob").exit_code == 1
    assert list(tmp_path.glob("*.vcf")) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_the_book_of_another_account_is_a_right_that_is_missing(
    run: Run, people: AddressBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in people.path.parents:
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o011)
    os.seteuid(65534)
    try:
        done = run("contact", "list")
    finally:
        os.seteuid(0)
    assert done.exit_code == 77
    assert "may not be used by you" in done.stderr


def test_nobody_is_removed_unasked(run: Run, people: AddressBook) -> None:
    assert run("contact", "remove", "bob").exit_code == 2
    assert json.loads(run("contact", "remove", "BOB", "--yes", "--json").stdout) == {
        "removed": "bob"
    }
    assert people.petnames() == ("stuart",)
    assert run("contact", "remove", "bob", "--yes").exit_code == 1


# --- Files --------------------------------------------------------------------------------------------


def test_an_import_takes_in_who_is_new_and_names_the_rest(
    run: Run, people: AddressBook, tmp_path: Path
) -> None:
    file = tmp_path / "aliases"
    file.write_text(
        f"alias bob Bob <bob@[IPv6:{BOB_PADDED}]>\nalias bob Other <other@{BOB_LITERAL}>\n"
        "alias zoe Zoë <zoe@x.org>\nalias team a@x.org, b@x.org\n"
        f"alias dup Again <OTHER@[IPv6:{BOB_PADDED}]>\n"
    )
    dry = run("contact", "import", file, "--dry-run")
    assert dry.stdout == "1 would be taken in: bob-2\n"
    assert people.petnames() == ("bob", "stuart")
    done = run("contact", "import", file)
    assert done.stdout == "1 taken in: bob-2\n"
    assert "bob: in the book already, as bob\n" in done.stderr
    assert "dup: in the book already, as bob-2\n" in done.stderr
    assert "zoe: no address on the mesh" in done.stderr
    assert "line 4: team is a list of people" in done.stderr
    told = json.loads(run("contact", "import", file, "--all", "--json").stdout)
    assert (told["format"], told["added"]) == ("mutt", ["zoe"])
    assert run("contact", "import", file, "--all").exit_code == 1
    assert run("contact", "import", file, "--all", "--json").exit_code == 1


def test_a_card_of_another_program_keeps_what_we_do_not_know(run: Run, book: AddressBook) -> None:
    card = f"BEGIN:VCARD\nVERSION:3.0\nFN:Bob\nTEL:+1\nEMAIL:bob@{BOB_LITERAL}\nEND:VCARD\n"
    assert run("contact", "import", "-", stdin=card).stdout == "1 taken in: bob\n"
    assert book.card("bob").text("TEL") == "+1"


def test_binary_and_missing_files_are_no_address_books(
    run: Run, apps: Home, tmp_path: Path
) -> None:
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    for name in ("x.png", "missing.vcf", "."):
        done = run("contact", "import", tmp_path / name)
        assert done.exit_code == 1
        assert "error:" in done.stderr


def test_an_export_goes_to_standard_output_or_a_private_file(
    run: Run, people: AddressBook, tmp_path: Path
) -> None:
    done = run("contact", "export", "--format", "neomutt")
    assert done.stdout == f"alias stuart Stuart Cheshire <stuart@{STUART_KEY}>\n"
    assert "left out: bob: neomutt needs the key" in done.stderr
    file = tmp_path / "out.vcf"
    run("contact", "export", "stuart", "--output", file)
    assert file.read_bytes() == (people.path / "stuart.vcf").read_bytes()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert run("contact", "export", "stuart", "-o", file).stdout == f"1 contact is in {file}\n"
    told = json.loads(run("contact", "export", "bob", "-f", "s-nail", "--json").stdout)
    assert told["text"] == f"alias bob bob@{BOB_LITERAL}\n"


def test_scanning_here_and_accepting_there_end_in_two_contacts(
    run: Run, apps: Home, book: AddressBook, tmp_path: Path
) -> None:
    settle(apps, "mia")
    with service(apps, reach_check={"sentences": []}, mail_send={}) as calls:
        run("contact", "add", INVITATION)
    [sent] = [arguments for name, _user, arguments in calls if name == "mail.send"]
    there = AddressBook(tmp_path / "there")
    from dexmesh.apps.contacts.invitation import contact_from, invitation_answer

    answer = invitation_answer(sent["headers"][HEADER], address_of(KEY_B))
    assert answer is not None
    there.add(contact_from(answer, None))
    assert there.petname_of(address_of(KEY_B)) == "mia"
    assert book.petname_of(address_of(STUART)) == "stu"
