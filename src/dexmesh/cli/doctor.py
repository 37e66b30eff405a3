"""`dexmesh doctor`: what is wrong on this machine, and what to do about it.

Place     cli/main.py -> here -> checks beside what they check (apps/*/checks.py, cli/doctor_node.py)
Spec      shared issue "Names without DNS servers"; docs/apps/mail.md §2
Keeps     all checks run at once and nobody waits longer than LIMIT_S; a check that fails or hangs is a
          line of its own; nothing is changed
"""

from __future__ import annotations

import importlib
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from dexmesh.cli.output import Exit, note, print_json, reports_errors, say
from dexmesh.cli.places import ConfigOption, JsonOption

if TYPE_CHECKING:
    from dexmesh.apps.base.findings import Finding
    from dexmesh.apps.base.home import Home
    from dexmesh.apps.base.settings import AppSettings
    from dexmesh.wire.address import Address

Check: TypeAlias = "Callable[[], Iterator[Finding]]"

LIMIT_S = 5.0  # ours: two questions of 2 s each, one after the other, and a slow machine
_ORDER = ("node", "names", "mail", "phone")


@reports_errors
def doctor(
    show_all: Annotated[bool, typer.Option("--all", "-a", help="Also what is well.")] = False,
    home: Annotated[
        Path | None,
        typer.Option(
            "--home", readable=False, help="The folder of the apps (default: $DEXMESH_HOME, ...)."
        ),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look for what is wrong with node, names, mail and phone; each line says what to do."""
    from dexmesh.apps.base.findings import Level

    findings = run(gather(home, config))
    is_well = not any(finding.level is Level.WRONG for finding in findings)
    if as_json:
        print_json({"ok": is_well, "findings": [describe(finding) for finding in findings]})
    else:
        _show(findings, show_all)
        if is_well:
            note("nothing is wrong")
    raise SystemExit(int(Exit.OK if is_well else Exit.FAILED))


def describe(finding: Finding) -> dict[str, str]:
    """A finding for programs."""
    return {
        "name": finding.name,
        "level": finding.level.value,
        "what": finding.what,
        "todo": finding.todo,
    }


def _show(findings: Sequence[Finding], show_all: bool) -> None:
    from dexmesh.apps.base.findings import Level

    for finding in findings:
        if finding.level is Level.OK and not show_all:
            continue
        todo = f" -> {finding.todo}" if finding.todo else ""
        say(f"{finding.level.value:5}  {finding.what}{todo}")


# --- Which checks -----------------------------------------------------------------------------------------


def gather(home: Path | None, config: Path | None) -> list[tuple[str, Check]]:
    """Every check that makes sense here, with the area it belongs to."""
    from dexmesh.apps.base.home import find_home
    from dexmesh.apps.mail import checks as mail_checks
    from dexmesh.apps.names import checks as names_checks
    from dexmesh.cli import doctor_node

    _load_heavy_modules()
    place = find_home(home)
    settings, trouble = _settings(place)
    found: list[tuple[str, Check]] = []
    address = _own_address(config, settings)
    found += [("node", check) for check in doctor_node.checks(config, address)]
    names = None if settings is None else settings.names
    found += [("names", check) for check in names_checks.checks(names)]
    if address is not None:
        found += [("mail", check) for check in mail_checks.stock_checks(address)]
    if settings is not None:
        found += [("mail", check) for check in mail_checks.checks(place, settings)]
        if settings.phone.is_on:
            from dexmesh.apps.call import checks as call_checks

            found += [("phone", check) for check in call_checks.checks(place, settings)]
    if trouble is not None:
        one = trouble
        found.append(("mail", lambda: iter((one,))))
    return found


def _load_heavy_modules() -> None:
    """What checks would load while the clock runs, all at once: on a slow machine longer than they wait."""
    for name in ("dns.message", "cryptography.x509"):
        importlib.import_module(name)


def _settings(home: Home) -> tuple[AppSettings | None, Finding | None]:
    """The settings of the apps, or why there are none."""
    from dexmesh.apps.base.findings import worth_knowing, wrong
    from dexmesh.apps.base.settings import load_settings
    from dexmesh.errors import ConfigError, HostError

    try:
        if not home.settings_file.exists():
            what = "mail and names are not set up here"
            return None, worth_knowing("mail.on", what, "`dexmesh mail on` sets them up")
        return load_settings(home), None
    except ConfigError as error:
        first = error.problems[0]
        what = f"{first.file}:{first.line}: {first.message}"
        return None, wrong("mail.settings", what, first.hint or "mend the file")
    except (HostError, OSError) as error:
        hint = getattr(error, "hint", "") or "run it as the owner of the mail, or as root"
        return None, worth_knowing("mail.settings", str(error), hint)


def _own_address(config: Path | None, settings: AppSettings | None) -> Address | None:
    """Our address: of the configuration, else of the apps' settings."""
    from dexmesh.cli.config import load_file
    from dexmesh.cli.places import find_config
    from dexmesh.errors import DexmeshError
    from dexmesh.wire.keys import address_of

    path = find_config(config)
    if path is not None:
        try:
            return load_file(path).settings.address
        except (DexmeshError, OSError):  # `config check` says what is wrong with it
            pass
    return None if settings is None else address_of(settings.key)


# --- All at once ------------------------------------------------------------------------------------------


def run(found: Iterable[tuple[str, Check]], limit_s: float = LIMIT_S) -> list[Finding]:
    """Everything the checks found, by area, in their order; who takes too long is named instead."""
    wanted = list(found)
    done: queue.SimpleQueue[tuple[int, list[Finding]]] = queue.SimpleQueue()
    for number, (area, check) in enumerate(wanted):
        threading.Thread(target=_work, args=(number, area, check, done), daemon=True).start()
    results: dict[int, list[Finding]] = {}
    deadline = time.monotonic() + limit_s
    while len(results) < len(wanted):
        try:
            number, findings = done.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            break
        results[number] = findings
    for number, (area, _) in enumerate(wanted):
        results.setdefault(number, [_late(area, limit_s)])
    numbers = sorted(results, key=lambda number: (_ORDER.index(wanted[number][0]), number))
    return [finding for number in numbers for finding in results[number]]


def _work(
    number: int, area: str, check: Check, done: queue.SimpleQueue[tuple[int, list[Finding]]]
) -> None:
    from dexmesh.apps.base.findings import wrong

    findings: list[Finding] = []
    try:
        findings.extend(check())
    except Exception as error:  # noqa: BLE001 a check of ours that is broken must not hide the others
        what = f"a check of {area} failed: {type(error).__name__}: {error}"
        findings.append(wrong(f"{area}.check", what, "please report it: this is a mistake of ours"))
    done.put((number, findings))


def _late(area: str, limit_s: float) -> Finding:
    from dexmesh.apps.base.findings import wrong

    what = f"a check of {area} did not end within {limit_s:g} s"
    return wrong(f"{area}.check", what, "try again; is this machine very busy, or a disk hanging?")
