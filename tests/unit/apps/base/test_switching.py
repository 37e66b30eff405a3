from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from dexmesh.apps.base.settings import (
    MAX_USERS,
    AppSettings,
    MailSettings,
    NamesSettings,
    UserSettings,
)
from dexmesh.apps.base.switching import (
    add_user,
    changed_user,
    remove_user,
    switch_mail_off,
    switch_mail_on,
    switch_phone_off,
    switch_phone_on,
)
from dexmesh.errors import AppError
from dexmesh.wire.keys import PublicKey

KEY, OTHER_KEY = PublicKey(bytes(32)), PublicKey(bytes(31) + b"\1")


def _on(*users: str, former: AppSettings | None = None, account: str = "Stuart") -> AppSettings:
    return switch_mail_on(former, KEY, account, users, "box")


def _names(settings: AppSettings) -> list[str]:
    return [user.name for user in settings.mail.users]


def test_the_first_time_the_account_gets_a_mailbox_and_the_roles() -> None:
    settings = _on()
    assert settings.mail.is_on
    assert _names(settings) == ["stuart"]
    assert settings.mail.aliases == {"postmaster": ("stuart",), "root": ("stuart",)}
    assert settings.mail.host_names == ("box",)
    assert settings.key == KEY


def test_an_account_made_for_the_service_is_nobodys_mailbox() -> None:
    assert _names(_on(account="dexmesh")) == []
    assert _names(_on("bob", account="dexmesh")) == ["bob"]


def test_on_again_changes_nothing_but_what_was_asked() -> None:
    former = dataclasses.replace(_on("bob"), names=NamesSettings(is_on=False))
    assert _on(former=former) == former
    more = switch_mail_on(former, OTHER_KEY, "other", ["BOB", "eve"], "renamed")
    assert (_names(more), more.mail.account, more.key) == (["bob", "eve"], "other", OTHER_KEY)
    assert (more.names, more.mail.host_names) == (former.names, ("box",))


def test_off_and_on_leaves_everything_else() -> None:
    former = _on("bob")
    off = switch_mail_off(former)
    assert not off.mail.is_on
    assert _on(former=off) == former


def test_the_phone_is_switched_without_mail_and_mail_without_the_phone() -> None:
    first = switch_phone_on(None, KEY, "stuart", (), "box")
    assert (first.phone.is_on, first.mail.is_on, _names(first)) == (True, False, ["stuart"])
    both = switch_phone_on(_on(former=first), KEY, "stuart", ("bob",), "box")
    assert (both.phone.is_on, both.mail.is_on, _names(both)) == (True, True, ["stuart", "bob"])
    silent = switch_phone_off(both)
    assert (silent.phone.is_on, silent.mail) == (False, both.mail)
    assert switch_phone_on(silent, KEY, "stuart", (), "box") == both


@pytest.mark.parametrize("name", ["a b", "", "../x", "ü", ".x"])
def test_a_name_that_cannot_be_is_refused(name: str) -> None:
    with pytest.raises(AppError):
        _on(name)
    with pytest.raises(AppError):
        changed_user(None, name, None, None)


@pytest.mark.parametrize("host", ["localhost", "bad name", "x..y", "ö"])
def test_a_strange_host_name_is_left_out(host: str) -> None:
    assert switch_mail_on(None, KEY, "a", (), host).mail.host_names == ()


def test_adding_somebody_again_changes_what_was_given() -> None:
    mail = add_user(MailSettings(), changed_user(None, "Bob", "robert", None))
    mail = add_user(mail, changed_user(mail.user("bob"), "bob", None, Path("/var/mail/r")))
    assert mail.users == (UserSettings("bob", "robert", Path("/var/mail/r")),)


def test_who_goes_leaves_the_aliases_too() -> None:
    mail = add_user(_on("stuart", "bob").mail, UserSettings("eve"))
    mail = dataclasses.replace(mail, aliases={"all": ("bob", "eve"), "boss": ("bob",)})
    mail = remove_user(mail, "BOB")
    assert [user.name for user in mail.users] == ["stuart", "eve"]
    assert mail.aliases == {"all": ("eve",)}
    with pytest.raises(AppError, match="no mail user 'bob'"):
        remove_user(mail, "bob")


def test_users_are_bounded() -> None:
    mail = MailSettings(users=tuple(UserSettings(f"u{n}") for n in range(MAX_USERS)))
    with pytest.raises(AppError):
        add_user(mail, UserSettings("one-more"))
    assert add_user(mail, UserSettings("u0", "x")).users[0].account == "x"
