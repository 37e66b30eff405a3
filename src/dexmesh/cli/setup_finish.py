"""End a `dexmesh setup`: the configuration to standard output or into files, all else beside it.

Place     cli/setup.py, cli/setup_phones.py -> here -> cli/setup_files.py
Spec      docs/apps/mail-programs.md, docs/apps/phone-programs.md
Keeps     standard output holds the configuration and nothing else; what its program refuses is shown,
          written nowhere, and the command fails
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dexmesh.cli.output import Exit, note, print_json

if TYPE_CHECKING:
    from dexmesh.apps.base.programs import Configuration
    from dexmesh.cli.setup_checks import Check


def finish(
    made: Configuration,
    check: Check,
    write: Path | None,
    user: str,
    is_sure: bool,
    as_json: bool,
    facts: Mapping[str, object],
) -> None:
    """Print or write one file. `facts` is what else `--json` says."""
    written, backup = _put(made, check, write, user, is_sure)
    if as_json:
        print_json({**_described(made, check, written, backup), **facts})
    else:
        if written is None:
            sys.stdout.write(made.text)
        _tell([(written, backup)], check, made.notes)
    _judge(check)


def finish_folder(
    parts: Sequence[Configuration],
    check: Check,
    folder: Path | None,
    user: str,
    is_sure: bool,
    as_json: bool,
    facts: Mapping[str, object],
) -> None:
    """Print several files, one after the other, or write them into a folder under their names."""
    if folder is not None and check.is_ok is not False:
        from dexmesh.cli.setup_files import make_folder

        make_folder(folder, user)
    places = [None if folder is None else folder / Path(part.path).name for part in parts]
    done = [
        _put(part, check, place, user, is_sure) for part, place in zip(parts, places, strict=True)
    ]
    if as_json:
        files = [_described(part, check, *put) for part, put in zip(parts, done, strict=True)]
        print_json({"files": files, **facts})
    else:
        if not any(written for written, _ in done):
            sys.stdout.write("\n".join(part.text for part in parts))
        _tell(done, check, [text for part in parts for text in part.notes])
    _judge(check)


def _put(
    made: Configuration, check: Check, place: Path | None, user: str, is_sure: bool
) -> tuple[Path | None, Path | None]:
    from dexmesh.cli.setup_files import put

    if place is None or check.is_ok is False:
        return None, None
    return put(made.text, place, user, is_sure)


def _tell(
    done: Sequence[tuple[Path | None, Path | None]], check: Check, notes: Sequence[str]
) -> None:
    for written, backup in done:
        if written is not None:
            note(f"written: {written}" + (f" (what was there: {backup})" if backup else ""))
    note(f"checked: {check}")
    for text in notes:
        note(f"- {text}")


def _described(
    made: Configuration, check: Check, written: Path | None, backup: Path | None
) -> dict[str, object]:
    return {
        "program": made.program,
        "path": made.path,
        "text": made.text,
        "notes": list(made.notes),
        "check": {"by": check.by, "is_ok": check.is_ok, "said": check.said},
        "written": None if written is None else str(written),
        "backup": None if backup is None else str(backup),
    }


def _judge(check: Check) -> None:
    if check.is_ok is False:
        raise SystemExit(int(Exit.FAILED))
