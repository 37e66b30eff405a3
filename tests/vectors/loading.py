"""Load the captured vectors for pytest; README.md beside this file describes them."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent


@cache
def load(name: str) -> Any:
    """The content of one JSON file of this directory; do not change it."""
    return json.loads((_HERE / name).read_text())


def names(cases: list[dict[str, Any]], key: str) -> list[str]:
    """Test ids: the value of `key` in each case."""
    return [str(case[key]) for case in cases]
