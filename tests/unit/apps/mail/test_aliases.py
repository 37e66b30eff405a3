"""Who stands behind a name: aliases of the settings and of a file like /etc/aliases."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from dexmesh.apps.mail.local_names import CHECK_S, LocalDirectory
from dexmesh.apps.mail.proto.aliases import MAX_ALIASES, MAX_STEPS, find_users, parse_aliases
from tests.unit.apps.mail.smtp_world import ME, SETTINGS

USERS = ("bob", "alice")

DEBIAN = """\
# See man 5 aliases for format
postmaster:    root
MAILER-DAEMON: postmaster
root: Bob,
    "alice"
pipe: |/usr/bin/procmail
file: /var/mail/x
list: :include:/etc/list
away: bob@example.org
mixed: bob@example.org, alice
nothing
empty:
"""


def test_a_file_of_aliases_is_read_and_only_local_names_count() -> None:
    assert parse_aliases(DEBIAN) == {
        "postmaster": ("root",),
        "mailer-daemon": ("postmaster",),
        "root": ("bob", "alice"),
        "mixed": ("alice",),
    }


def test_chains_are_followed_and_loops_end() -> None:
    aliases = parse_aliases(DEBIAN + "a: b\nb: a, alice\nself: self\nbob: bob, alice\n")
    assert find_users("Mailer-Daemon", USERS, aliases) == ("bob", "alice")
    assert find_users("a", USERS, aliases) == ("alice",)
    assert find_users("self", USERS, aliases) == ()
    assert find_users("BOB", USERS, aliases) == ("bob", "alice")
    assert find_users("alice", USERS, aliases) == ("alice",)
    assert find_users("", USERS, aliases) == ()


def test_the_postmaster_is_always_somebody() -> None:
    assert find_users("Postmaster", USERS, {}) == ("bob",)
    assert find_users("postmaster", USERS, {"postmaster": ("alice",)}) == ("alice",)
    assert find_users("postmaster", USERS, {"postmaster": ("nobody",)}) == ("bob",)
    assert find_users("postmaster", (), {}) == ()


def test_huge_files_and_long_chains_are_bounded() -> None:
    text = "".join(f"n{number}: n{number + 1}\n" for number in range(2 * MAX_ALIASES))
    aliases = parse_aliases(text + f"n{MAX_ALIASES - 1}: bob\n")
    assert len(aliases) == MAX_ALIASES
    assert find_users("n0", USERS, {**aliases, f"n{MAX_STEPS + 1}": ("bob",)}) == ()
    everybody = {"all": tuple(f"u{number}" for number in range(100_000))}
    assert find_users("all", USERS, everybody) == ()


def test_a_changed_file_counts_after_a_moment_and_the_settings_win(tmp_path: Path) -> None:
    path = tmp_path / "aliases"
    now = 0.0
    settings = replace(SETTINGS, aliases={"root": ("bob",)}, aliases_file=path)
    directory = LocalDirectory(ME, settings, lambda: now)
    assert directory.names().users_of("web") == ()  # there is no file yet
    path.write_text("web: alice\nroot: alice\n")
    assert directory.names().users_of("web") == ()
    now += CHECK_S
    assert directory.names().users_of("web") == ("alice",)
    assert directory.names().users_of("root") == ("bob",)
    path.write_text("web: bob\n")
    os.utime(path, ns=(1, 1))
    now += CHECK_S
    assert directory.names().users_of("web") == ("bob",)
    path.unlink()
    now += CHECK_S
    assert directory.names().users_of("web") == ()


def test_who_owns_a_domain_is_a_matter_of_bytes() -> None:
    names = LocalDirectory(ME, SETTINGS).names()
    for domain in (
        ME.literal,
        ME.padded_literal.upper(),
        ME.key_name,
        ME.alt_name,
        "Desk",
        "desk.",
    ):
        assert names.owns(domain)
    for domain in ("", "[IPv6:fc00::1]", ME.literal.replace("IPv6:", ""), "desk.example.org", "k"):
        assert not names.owns(domain)
