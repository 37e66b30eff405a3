from __future__ import annotations

import os
import random
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dexmesh.apps.base.home import Home
from dexmesh.apps.base.settings import (
    AppSettings,
    MailSettings,
    NamesSettings,
    PhoneSettings,
    UserSettings,
    is_from_root,
    is_user_name,
    load_settings,
    parse_settings,
    render,
    save_settings,
)
from dexmesh.errors import ConfigError, HostError
from dexmesh.wire.keys import PublicKey, encode_key, is_node_key


def _key() -> PublicKey:
    chance = random.Random(4)
    while not is_node_key(key := PublicKey(chance.randbytes(32))):
        pass
    return key


KEY = _key()
LEAST = f'key = "{encode_key(KEY)}"\n'
SETTINGS = AppSettings(
    KEY,
    MailSettings(
        is_on=True,
        account="stuart",
        users=(
            UserSettings("stuart"),
            UserSettings("bob", "robert", Path('/var/mail/r "ü"'), quota_bytes=5),
        ),
        aliases={"postmaster": ("stuart",), "all": ("stuart", "bob")},
        aliases_file=Path("/etc/aliases"),
        host_names=("box", "box.home"),
        receive_port=2525,
        submission_ports=(),
        imap_port=0,
    ),
    NamesSettings(False, "::1", 5353),
    PhoneSettings(True, 5062, (7000, 7010), True, False, Path("/srv/hello.wav")),
)
ODD_TEXTS = st.text(min_size=1, max_size=20)  # hypothesis leaves surrogates out


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    home = Home(tmp_path)
    for settings in (SETTINGS, AppSettings(KEY)):
        save_settings(home, settings)
        assert load_settings(home) == settings
    assert [path.name for path in tmp_path.iterdir()] == ["apps.toml"]


@given(ODD_TEXTS.filter(lambda text: "\0" not in text), ODD_TEXTS)
def test_no_text_breaks_the_file(path: str, account: str) -> None:
    user = UserSettings("u", account, Path("/" + path.lstrip("/")))
    settings = AppSettings(KEY, MailSettings(users=(user,)))
    assert parse_settings(render(settings).encode(), "f") == settings


def test_a_key_is_all_that_is_needed() -> None:
    settings = parse_settings(LEAST.encode(), "f")
    assert settings == AppSettings(KEY)
    assert (settings.mail.is_on, settings.mail.submission_ports) == (False, (25, 587))


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("[mail]\non = 1", 3, "on is 1"),
        ("[mail]\n\non = true\nimap_port = 70000", 5, "imap_port is 70000"),
        ("[mail]\nsubmission_ports = [25, true]", 3, "True in submission_ports is wrong"),
        ("[mail]\nport = 5", 3, "port means nothing here"),
        ("[[mail.users]]\nname = 'a'\n[[mail.users]]\nname = 'B'", 5, "'B' cannot be the name"),
        ("[[mail.users]]\nname = 'a'\n[[mail.users]]\nname = 'a'", 2, "there are two users 'a'"),
        ("[[mail.users]]\nname = 'a'\nmbox = 'x'", 4, "'x' is no absolute path"),
        ("[mail.aliases]\nroot = ['x']", 3, "alias 'root' must name local users"),
        ("[mail]\nusers = 5", 3, "users is 5"),
        ("[phone]\nmedia_ports = [7079, 7090]", 3, "media_ports must be two ports"),
        ("[names]\nhost = '192.0.2.1'", 3, "'192.0.2.1' is not of this machine"),
        ("mail = 5", 2, "mail is no table"),
        ("x y", 2, "this is no TOML"),
        ("[mail]\nhost_names = ['a b']", 3, "'a b' in host_names is wrong"),
    ],
)
def test_a_mistake_is_told_with_its_line_and_what_to_write(
    text: str, line: int, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_settings((LEAST + text).encode(), "apps.toml")
    problem = caught.value.problems[0]
    assert (problem.line, problem.file) == (line, "apps.toml")
    assert message in problem.message
    assert problem.hint


def test_every_mistake_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_settings(b"key = 'x'\n[mail]\non = 'yes'\n[names]\nport = 0", "f")
    assert [problem.line for problem in caught.value.problems] == [1, 3, 5]


@given(st.binary(max_size=80) | st.text(max_size=80).map(str.encode))
def test_any_bytes_are_settings_or_refused(data: bytes) -> None:
    with pytest.raises(ConfigError):
        parse_settings(data, "f")


def test_a_missing_file_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(Home(tmp_path))
    assert "dexmesh mail on" in caught.value.problems[0].hint


def test_a_fifo_in_place_of_the_file_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "apps.toml")
    with pytest.raises(ConfigError):
        load_settings(Home(tmp_path))


def test_a_link_is_replaced_and_never_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    home = Home(tmp_path / "home")
    home.path.mkdir()
    home.settings_file.symlink_to(victim)
    save_settings(home, SETTINGS)
    assert victim.read_text() == "precious"
    assert load_settings(home) == SETTINGS
    assert stat.S_IMODE(home.settings_file.stat().st_mode) in (0o600, 0o640)


def test_only_a_file_that_root_wrote_is_from_root(tmp_path: Path) -> None:
    home = Home(tmp_path)
    save_settings(home, SETTINGS)
    assert is_from_root(home) is (os.geteuid() == 0)
    home.settings_file.chmod(0o666)
    assert not is_from_root(home)


def test_a_folder_that_is_gone_is_an_error_of_the_machine(tmp_path: Path) -> None:
    with pytest.raises(HostError):
        save_settings(Home(tmp_path / "nowhere"), SETTINGS)


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        *(("stuart", True), ("a.b-c_9", True), ("_x", True), ("x" * 64, True)),
        *(("", False), ("..", False), (".hidden", False), ("A", False), ("a/b", False)),
        *(("x" * 65, False), ("a\n", False), ("ü", False)),
    ],
)
def test_user_names_are_safe_names_of_folders(name: str, is_one: bool) -> None:
    assert is_user_name(name) is is_one
