"""`dexmesh names` as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dexmesh.apps.contacts.book import AddressBook
from dexmesh.apps.names import advice as advice_module
from dexmesh.apps.names.zones import PROBE_NAME
from dexmesh.cli.config import load_file
from dexmesh.wire.address import format_address
from dexmesh.wire.keys import address_of, decode_key, encode_key
from tests.unit.cli.conftest import Run

BOB = format_address(address_of(decode_key(PROBE_NAME)))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home where bob is a contact."""
    contacts = tmp_path / "contacts"
    contacts.mkdir()
    (contacts / "bob.vcf").write_text(
        "BEGIN:VCARD\r\nVERSION:4.0\r\nFN:Bob\r\nX-CJDNS-PETNAME:bob\r\n"
        f"EMAIL:bob@[IPv6:{BOB}]\r\nEND:VCARD\r\n"
    )
    assert AddressBook(contacts).petnames() == ("bob",)
    return tmp_path


@pytest.mark.parametrize("name", [PROBE_NAME, PROBE_NAME.upper(), "bob", "bob.cjdns.alt"])
def test_names_lead_to_addresses(name: str, run: Run, home: Path, config_file: Path) -> None:
    done = run("names", "resolve", name, "--home", str(home), "--config", str(config_file))
    assert (done.exit_code, done.stdout) == (0, f"{BOB}\n")


def test_addresses_lead_to_names(run: Run, home: Path, config_file: Path) -> None:
    options = ("--home", str(home), "--config", str(config_file))
    assert run("names", "resolve", BOB, *options).stdout == "bob.cjdns.alt\n"
    own = load_file(config_file).settings
    said = run("names", "resolve", format_address(own.address), "--json", *options).stdout
    assert json.loads(said)["found"] == encode_key(own.public_key)
    assert run("names", "resolve", "fc00::1", *options).exit_code == 1
    assert run("names", "resolve", "example.com", *options).exit_code == 2
    for unknown in ("zoe", "zoe.cjdns.alt"):  # rightly written, but nobody is called that
        done = run("names", "resolve", unknown, *options)
        assert done.exit_code == 1
        assert "no node of 'zoe' is in the address book" in done.stderr


def test_setup_prints_the_text_alone_on_standard_output(
    run: Run, home: Path, config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    situation = advice_module.Situation(advice_module.Resolver.DNSMASQ, ("127.0.0.1",), "dnsmasq")
    monkeypatch.setattr(advice_module, "find_situation", lambda: situation)
    done = run("names", "setup", "--home", str(home), "--config", str(config_file))
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0] == "server=/k/127.0.0.67"
    assert all("=" in line for line in lines)


def test_setup_that_the_checker_refuses_is_a_failure(
    run: Run, home: Path, config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    situation = advice_module.Situation(advice_module.Resolver.UNBOUND, ("127.0.0.1",), "unbound")
    monkeypatch.setattr(advice_module, "find_situation", lambda: situation)
    checker = tmp_path / "bin" / "unbound-checkconf"
    checker.parent.mkdir()
    checker.write_text("#!/bin/sh\necho 'syntax error' >&2; exit 1\n")
    checker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{checker.parent}:/bin:/usr/bin")
    done = run("names", "setup", "--json", "--home", str(home), "--config", str(config_file))
    assert done.exit_code == 1
    assert json.loads(done.stdout)["check"] == {"by": "unbound-checkconf FILE", "is_ok": False}


def test_status_says_what_is_missing(run: Run, home: Path, config_file: Path) -> None:
    (home / "apps.toml").write_text(
        f'key = "{PROBE_NAME}"\n[names]\nhost = "127.0.0.67"\nport = 59053\n'
    )
    options = ("--home", str(home), "--config", str(config_file))
    done = run("names", "status", "--json", *options)
    assert done.exit_code == 1
    told = json.loads(done.stdout)
    assert (told["answers"], told["port"]) == (False, 59053)
    assert told["names"][0] == encode_key(load_file(config_file).settings.public_key)
