"""Look at the phone: is it on, has it its ports, can it speak, would anybody hear it ring?

Place     cli/doctor.py -> here
Spec      docs/apps/sip.md §3; issue 5
Keeps     asks the service at most twice and briefly; changes nothing
Not here  the node and its peers (cli/doctor_node.py), mail (mail/checks.py)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from dexmesh.apps.base.control import ControlClient
from dexmesh.apps.base.findings import Finding, fine, worth_knowing, wrong
from dexmesh.apps.base.holders import holder_of, is_taken
from dexmesh.apps.base.home import Home
from dexmesh.apps.base.me import Me
from dexmesh.apps.base.settings import AppSettings
from dexmesh.apps.base.sockets import Purpose, Wish, wishes
from dexmesh.apps.call.codec import catalogue
from dexmesh.errors import DexmeshError, NoServiceError, PermissionNeededError

PATIENCE_S = 3.0  # ours
START = "`dexmesh up` starts it with the node; `dexmesh mail serve` alone"
_MOVE = "stop that program, or give ours another `port` in [phone] of apps.toml"


def checks(home: Home, settings: AppSettings) -> Iterable[Callable[[], Iterator[Finding]]]:
    """All of them; each may run in a thread of its own. None where the phone is off: that is the default."""
    if settings.phone.is_on:
        yield lambda: check_service(home, settings)
        yield check_codecs


def check_service(home: Home, settings: AppSettings) -> Iterator[Finding]:
    """Does it run, has it its ports, and does anybody hear it?"""
    wanted = [one for one in wishes(Me.of(settings.key), settings) if one.purpose is Purpose.PHONE]
    if not settings.mail.users:
        todo = "`dexmesh phone on --user NAME` names somebody"
        yield wrong("phone.users", "nobody can be called here", todo)
    try:
        served = _ask(home, "service.status")
    except NoServiceError:
        yield wrong("phone.service", "the phone is on, but its service does not run", START)
        yield from _judge_ports(wanted, None)
        return
    except DexmeshError as error:
        yield _unable(error)
        return
    yield from _judge_ports(wanted, {str(one.get("where")) for one in served["listening"]})
    yield from _judge_bells(home)


def _judge_ports(wanted: Iterable[Wish], ours: set[str] | None) -> Iterator[Finding]:
    for wish in wanted:
        where = f"{wish.where}/{'tcp' if wish.is_tcp else 'udp'}"
        if ours is not None and wish.where in ours:
            yield fine("phone.port", f"{where} is ours, for {wish.purpose.value}")
        elif is_taken(wish.host, wish.port, is_tcp=wish.is_tcp):
            holder = holder_of(wish.host, wish.port, is_tcp=wish.is_tcp) or "another program"
            yield wrong("phone.port", f"{where} ({wish.purpose.value}) is held by {holder}", _MOVE)
        elif ours is not None:
            todo = "start the service again: `dexmesh phone off`, `dexmesh phone on`, `dexmesh up`"
            yield wrong("phone.port", f"nobody listens on {where}", todo)


def _judge_bells(home: Home) -> Iterator[Finding]:
    try:
        told = _ask(home, "phone.status")
    except DexmeshError:  # root without users, or somebody who has none here
        return
    user = told["user"]
    if told["bells"]:
        yield fine("phone.bell", f"{user} hears it when somebody calls")
    else:
        what = f"no phone of {user} rings: who calls gets the voicemail"
        if not told["has_voicemail"]:
            what = f"no phone of {user} rings, and there is no voicemail"
        yield worth_knowing("phone.bell", what, "`dexmesh phone` rings and answers")


def check_codecs() -> Iterator[Finding]:
    """Which codecs are missing, and what brings them."""
    for one in catalogue.codecs():
        if one.is_available:
            yield fine("phone.codec", f"{one.name} can be spoken")
        else:
            what = f"{one.name} cannot be spoken: calls sound worse, or not with everybody"
            yield worth_knowing("phone.codec", what, f"apt-get install {one.package}")


def _ask(home: Home, call: str) -> dict[str, Any]:
    with ControlClient(home.control_socket, patience_s=PATIENCE_S) as service:
        return service.call(call)


def _unable(error: DexmeshError) -> Finding:
    if isinstance(error, PermissionNeededError):
        return worth_knowing("phone.service", f"could not be looked at: {error}", error.hint)
    return wrong("phone.service", f"the service does not answer well: {error}", START)
