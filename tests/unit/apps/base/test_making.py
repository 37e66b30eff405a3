from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path

import pytest

from dexmesh.apps.base import home as home_module
from dexmesh.apps.base.account import Account, account_of, find_account, own_account
from dexmesh.apps.base.home import HOME_VARIABLE, Home, find_home
from dexmesh.apps.base.making import make_home, owner_of
from dexmesh.errors import HostError

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
SOMEBODY = Account("somebody", 6801, 6801)
ANOTHER = Account("another", 6802, 6802)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_others_may_pass_through_the_home_and_look_nowhere(tmp_path: Path) -> None:
    home = Home(tmp_path / "a" / "home")
    make_home(home, own_account())
    make_home(home, own_account())
    assert _mode(home.path) == 0o711
    for inner in (home.contacts, home.mail, home.mail_users):
        assert _mode(inner) == 0o700
    assert owner_of(home) == os.geteuid()


@needs_root
def test_the_home_is_handed_over_with_all_that_was_the_former_owners(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    make_home(home, SOMEBODY)
    mail, alien = home.mail_users / "mail", home.mail_users / "alien"
    for path, uid in ((mail, SOMEBODY.uid), (alien, 0)):
        path.touch()
        os.chown(path, uid, uid)
    victim = tmp_path / "victim"
    victim.touch()
    link = home.mail / "link"
    link.symlink_to(victim)
    os.lchown(link, SOMEBODY.uid, SOMEBODY.gid)
    make_home(home, ANOTHER)
    assert {path.stat().st_uid for path in (home.path, home.mail, mail)} == {ANOTHER.uid}
    assert (alien.stat().st_uid, victim.stat().st_uid) == (0, 0)


def test_a_link_in_the_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.path.mkdir()
    (tmp_path / "elsewhere").mkdir(mode=0o755)
    home.mail.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(HostError):
        make_home(home, own_account())
    assert _mode(tmp_path / "elsewhere") == 0o755


def test_a_home_that_is_not_there_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(HostError) as caught:
        owner_of(Home(tmp_path / "nowhere"))
    assert "dexmesh mail on" in caught.value.hint


def test_the_apps_never_run_as_root_and_only_as_somebody_there_is() -> None:
    for name in ("root", "nobody-of-that-name", "\0"):
        with pytest.raises(HostError) as caught:
            find_account(name)
        assert "--account" in caught.value.hint
    nobody = pwd.getpwnam("nobody")
    assert find_account("nobody").uid == account_of(nobody.pw_uid).uid == nobody.pw_uid
    with pytest.raises(HostError):
        account_of(59_999)


def test_the_home_is_the_one_named_else_the_machines_else_the_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "named"))
    assert find_home(tmp_path / "given").path == tmp_path / "given"
    assert find_home().path == tmp_path / "named"
    monkeypatch.delenv(HOME_VARIABLE)
    monkeypatch.setattr(home_module, "SYSTEM_HOME", tmp_path / "system")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert find_home().path == tmp_path / "data" / "dexmesh"
    (tmp_path / "system").mkdir()
    assert find_home().path == tmp_path / "system"
    (tmp_path / "system").rmdir()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert find_home().path == tmp_path / "system"
