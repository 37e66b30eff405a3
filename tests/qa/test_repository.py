"""Check the repository against itself: one list of drops, links that lead somewhere, walls that hold."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

from dexmesh.engine import _native
from dexmesh.engine.drops import EXPLANATIONS, DropReason

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SECTION = re.compile(r"docs/protocol/(\d\d)\b")


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).upper()


def test_drop_reasons_have_the_same_names_and_numbers_on_both_sides() -> None:
    rust = {_snake(name): number for name, number in _native.drop_reasons().items()}
    assert rust == {reason.name: reason.value for reason in DropReason}


def test_every_drop_reason_is_explained() -> None:
    assert set(EXPLANATIONS) == set(DropReason)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_local_links_and_file_names_in_documents_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    missing = [link for link in links if not (page.parent / link).exists()]
    if "docs/protocol" not in str(page):
        named = re.findall(r"`((?:docs|src|tests|rust|bench|tools|packaging)/[\w./-]+\.\w+)`", text)
        missing += [name for name in named if not (ROOT / name).exists()]
    assert missing == []


def test_code_cites_protocol_notes_that_exist() -> None:
    numbers = {path.name[:2] for path in (ROOT / "docs/protocol").glob("[0-9][0-9]-*.md")}
    cited = set()
    for folder, pattern in (("src", "*.py"), ("rust", "*.rs"), ("tests", "*.py")):
        for path in (ROOT / folder).rglob(pattern):
            if "target" not in path.parts:
                cited |= set(SECTION.findall(path.read_text(encoding="utf-8")))
    assert cited <= numbers


def test_every_module_says_what_it_does() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in sorted((ROOT / "src").rglob("*.py"))
        if path.read_text(encoding="utf-8").strip()
        and ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) is None
    ]
    assert silent == []


def test_unsafe_code_is_only_where_packets_meet_the_kernel() -> None:
    offenders = [
        str(path.relative_to(ROOT))
        for folder in ("engine", "media", "python")
        for path in (ROOT / "rust" / folder).rglob("*.rs")
        if re.search(r"\bunsafe\b\s*(\{|fn|impl)", path.read_text(encoding="utf-8"))
    ]
    assert offenders == []


def test_apps_have_one_door_to_rust() -> None:
    """import-linter sees modules of Python alone: names taken out of `_native` slip past its contract."""
    apps = ROOT / "src" / "dexmesh" / "apps"
    doors = [
        str(path.relative_to(apps))
        for path in sorted(apps.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if "dexmesh.engine" in (ast.unparse(node) if isinstance(node, ast.Import) else "")
        or (isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dexmesh.engine"))
    ]
    assert doors == ["call/native.py"]


def test_no_tracked_file_names_a_place_of_one_machine() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    forbidden = re.compile(r"/work/(main|shared|\.library|\.mirror)|/opt/cjdns")
    this_file = str(Path(__file__).relative_to(ROOT))
    offenders = []
    for name in filter(None, tracked):
        path = ROOT / name
        if (
            name != this_file
            and path.is_file()
            and forbidden.search(path.read_text("utf-8", "ignore"))
        ):
            offenders.append(name)
    assert offenders == []
