"""`dexmesh phone on | off | status`: the phone in the service of the apps.

Place     cli/phone_commands.py -> here -> apps/base/switching.py; the running service is told
Spec      docs/apps/sip.md §4 (the firewall lines), docs/decisions/0013
Keeps     `on` and `off` may be said again and again, and leave mail as it is
Not here  ringing and answering (cli/phone_seat.py); running the service (cli/mail_serve.py)
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dexmesh.apps.base.home import find_home
from dexmesh.cli.output import example, note, print_json, print_table, reports_errors, say
from dexmesh.cli.phone import app, phone_of
from dexmesh.cli.places import ConfigOption, JsonOption
from dexmesh.cli.service import (
    HomeOption,
    SwitchedOn,
    UserOption,
    renew_service,
    report_absence,
    switch_on,
)
from dexmesh.errors import NoServiceError

if TYPE_CHECKING:
    from dexmesh.apps.base.me import Me
    from dexmesh.apps.base.settings import PhoneSettings
    from dexmesh.wire.address import Address

INTERFACES = Path("/proc/net/if_inet6")


@app.command(epilog=example("dexmesh phone on"))
@reports_errors
def on(
    account: Annotated[
        str | None,
        typer.Option(
            "--account", help="The Unix account it runs as (default: yours, also with sudo)."
        ),
    ] = None,
    user: Annotated[
        list[str] | None,
        typer.Option("--user", help="Who can be called; may be repeated (default: the account)."),
    ] = None,
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Switch the phone on, with mail or without, and say what comes next."""
    from dexmesh.apps.base.switching import switch_phone_on

    _report_on(switch_on(switch_phone_on, home, config, account, user or ()), as_json)


def _report_on(done: SwitchedOn, as_json: bool) -> None:
    from dexmesh.apps.base.me import Me

    settings = done.settings
    me = Me.of(settings.key)
    uris = {user.name: uris_of(me, user.name) for user in settings.mail.users}
    interface = interface_of(me.address)
    if as_json:
        print_json(
            {
                "on": True,
                "home": str(done.home.path),
                "account": settings.mail.account,
                "users": uris,
                "running": done.is_running,
                "interface": interface,
                "ports": open_ports(settings.phone),
            }
        )
        return
    say(f"the phone is on; the service runs as {settings.mail.account}, in {done.home.path}")
    for literal, name in uris.values():
        say(f"  {literal}  or  {name}")
    if not uris:
        note("Next: `dexmesh mail user add NAME` makes somebody who can be called.")
    for line in _next_steps(done.is_running):
        note(line)
    for line in firewall_lines(settings.phone, interface):
        note(line)


def uris_of(me: Me, user: str) -> list[str]:
    """What others write to call this user: by address, and by key."""
    from dexmesh.wire.address import format_address

    return [f"sip:{user}@[{format_address(me.address)}]", f"sip:{user}@{me.alt_name}"]


def _next_steps(is_running: bool) -> list[str]:
    if is_running:
        lines = ["The running service has taken it over."]
    else:
        lines = [
            "Next: `dexmesh up` starts the service with the node (start it again if it runs already);",
            "      where another program is the node, `dexmesh mail serve` or dexmesh-mail.service.",
        ]
    return [
        *lines,
        "Then: `dexmesh phone` rings and shows what comes, `dexmesh call NAME` calls,",
        '      `dexmesh text NAME "words"` writes; contacts ring, strangers do not.',
    ]


def interface_of(address: Address) -> str | None:
    """The network interface that has this address now; None if none has."""
    try:
        lines = INTERFACES.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    wanted = address.hex()
    return next((line.split()[-1] for line in lines if line.startswith(f"{wanted} ")), None)


def open_ports(phone: PhoneSettings) -> list[dict[str, str]]:
    """What a firewall has to let in, for nftables and for people."""
    first, last = phone.media_ports
    return [
        {"protocol": "udp", "ports": f"{phone.port}, {first}-{last + 1}"},
        {"protocol": "tcp", "ports": str(phone.port)},
    ]


def firewall_lines(phone: PhoneSettings, interface: str | None) -> list[str]:
    """What somebody with a firewall has to write (docs/apps/sip.md §4)."""
    name = interface or "tun0"
    which = (
        f"({name})" if interface else f"(the one with your fc… address; here {name} stands for it)"
    )
    return [
        f"With a firewall: let this in on the mesh interface {which}, and on no other:",
        *(
            f'      nft add rule inet filter input iifname "{name}" {one["protocol"]} dport '
            f"{{ {one['ports']} }} accept"
            for one in open_ports(phone)
        ),
    ]


@app.command(epilog=example("dexmesh phone off"))
@reports_errors
def off(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Switch the phone off: nobody can call, texts wait; the history stays as it is."""
    from dexmesh.apps.base.settings import load_settings, save_settings
    from dexmesh.apps.base.switching import switch_phone_off

    place = find_home(home)
    settings = load_settings(place)
    if settings.phone.is_on:
        save_settings(place, switch_phone_off(settings))
    was_running = renew_service(place)
    if as_json:
        print_json({"on": False, "home": str(place.path), "was_running": was_running})
        return
    rest = "the service goes on for mail" if settings.mail.is_on else "the service ends"
    say("the phone is off" + (f"; {rest}" if was_running else ""))


@app.command(epilog=example("dexmesh phone status --json"))
@reports_errors
def status(user: UserOption = None, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show how the phone is doing: what it is called, who rings, the calls under way, the codecs."""
    try:
        with phone_of(home, user) as service:
            told = service.call("phone.status")
    except NoServiceError as error:
        report_absence(
            find_home(home), error, "the phone", lambda one: one.phone.is_on, as_json=as_json
        )
    if as_json:
        print_json({"running": True, **told})
        return
    print_table(("", ""), list(_rows(told)))


def _rows(told: dict[str, Any]) -> list[tuple[str, str]]:
    from dexmesh.cli.call_words import describe_call

    switches = told["switches"]
    codecs = [one["name"] for one in told["codecs"] if one["is_available"]]
    missing = [
        f"{one['name']} ({one['package']})" for one in told["codecs"] if not one["is_available"]
    ]
    counted = [f"{name} {count}" for name, count in told["counters"].items() if count]
    return [
        ("user", str(told["user"])),
        *(("called as", str(uri)) for uri in told["uris"]),
        ("rings", "for everybody" if told["strangers_ring"] else "for contacts"),
        ("do not disturb", _on_off(switches["do_not_disturb"])),
        ("answers by itself", _on_off(switches["auto_answer"])),
        ("call waiting", _on_off(switches["call_waiting"])),
        ("voicemail", _on_off(told["has_voicemail"])),
        (
            "phones that ring",
            str(told["bells"]) if told["bells"] else "none: `dexmesh phone` is one",
        ),
        *(("call", describe_call(one)) for one in told["calls"]),
        ("codecs", ", ".join(codecs)),
        *((("missing", ", ".join(missing)),) if missing else ()),
        ("counted", ", ".join(counted) or "-"),
    ]


def _on_off(is_on: object) -> str:
    return "on" if is_on else "off"
