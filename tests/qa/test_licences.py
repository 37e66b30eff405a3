"""What dexmesh is made of may be used by everybody: permissive or weak copyleft licences only."""

from __future__ import annotations

import json
import re
import subprocess
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
PERMITTED = {
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "LGPL-2.1-or-later",
    "LGPL-3.0-or-later",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "PSF-2.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
}
# How packages without an SPDX expression say it.
_SAID = {
    "MIT License": "MIT",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "ISC License (ISCL)": "ISC",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "Apache License 2.0": "Apache-2.0",
}


def is_permitted(expression: str) -> bool:
    """Whether an SPDX expression leaves a permitted choice (AND binds, OR chooses)."""
    text = expression.replace("/", " OR ").strip()
    while text.startswith("(") and text.endswith(")") and text.count("(") == 1:
        text = text[1:-1]
    if "(" in text:
        text = re.sub(
            r"\(([^()]*)\)", lambda m: "MIT" if is_permitted(m.group(1)) else "refused", text
        )
        return is_permitted(text)
    return any(
        all(part.strip() in PERMITTED for part in choice.split(" AND "))
        for choice in text.split(" OR ")
    )


def _python_packages() -> set[str]:
    """Names of everything that `pip install dexmesh` brings along."""
    wanted = [Requirement(text) for text in metadata.requires("dexmesh") or []]
    found: set[str] = set()
    while wanted:
        requirement = wanted.pop()
        if requirement.name in found:
            continue
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        found.add(requirement.name)
        wanted += [Requirement(text) for text in metadata.requires(requirement.name) or []]
    return found


def _licence_of(package: str) -> str:
    about = metadata.metadata(package)
    if "License-Expression" in about:
        return str(about["License-Expression"])
    classifiers = about.get_all("Classifier") or []
    said = [text.split(" :: ")[-1] for text in classifiers if text.startswith("License ::")]
    names = [_SAID.get(text, text) for text in said if text != "OSI Approved"]
    named = (str(about["License"]) if "License" in about else "nothing").partition("\n")[0]
    return " OR ".join(names) or _SAID.get(named, named)


def _rust_packages() -> list[tuple[str, str]]:
    argv = ["../tools/cargo", "metadata", "--offline", "--format-version", "1", "--locked"]
    done = subprocess.run(argv, cwd=ROOT / "rust", capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"cargo cannot tell without a network: {done.stderr.strip().splitlines()[-1]}")
    packages = json.loads(done.stdout)["packages"]
    return [(one["name"], one["license"] or "nothing") for one in packages]


def test_expressions_are_understood() -> None:
    assert is_permitted("MIT OR Apache-2.0")
    assert is_permitted("GPL-2.0 OR MIT")
    assert is_permitted("(MIT OR GPL-2.0) AND Unicode-3.0")
    assert not is_permitted("GPL-2.0")
    assert not is_permitted("MIT AND GPL-3.0-only")
    assert not is_permitted("nothing")


def test_python_dependencies_have_licences_we_can_use() -> None:
    packages = _python_packages()
    assert {"typer", "rich", "pyroute2"} <= packages
    refused = {name: _licence_of(name) for name in packages if not is_permitted(_licence_of(name))}
    assert refused == {}


def test_rust_dependencies_have_licences_we_can_use() -> None:
    packages = _rust_packages()
    assert len(packages) > 3
    assert [one for one in packages if not is_permitted(one[1])] == []


def test_a_change_that_users_notice_has_a_fragment() -> None:
    fragments = sorted((ROOT / "changelog.d").glob("*.md"))
    assert fragments
    for fragment in fragments:
        assert re.fullmatch(r"\d+(-[a-z-]+)?\.md", fragment.name), "named after its issue"
        assert fragment.read_text(encoding="utf-8").strip().startswith("- ")
