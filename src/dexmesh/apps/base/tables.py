"""Read values of the right type out of a TOML text, and say in which line a wrong one stands.

Place     settings.py -> here
Spec      TOML 1.0
Keeps     every mistake is collected, not only the first; unknown names are mistakes (a typo in a switch
          must not be silence)
Not here  what the values mean (settings.py)
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator
from typing import Any

from dexmesh.errors import ConfigError, ConfigProblem

_LINE_IN_MESSAGE = re.compile(r"\(at line (\d+), column (\d+)\)")
_HEADER = re.compile(r"\s*\[\[?\s*([A-Za-z0-9_.\- ]+?)\s*\]\]?\s*(?:#.*)?")


class Document:
    """A TOML text and the mistakes found in it so far."""

    def __init__(self, data: bytes, file: str) -> None:
        """Raises ConfigError if it is no TOML at all."""
        self._file = file
        self.problems: list[ConfigProblem] = []
        try:
            self._text = data.decode("utf-8")
            self.root = Table(self, (), tomllib.loads(self._text))
        except UnicodeDecodeError:
            raise ConfigError((ConfigProblem(file, 0, 0, "is not UTF-8 text", ""),)) from None
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            place = _LINE_IN_MESSAGE.search(str(error))
            line, column = (int(place[1]), int(place[2])) if place else (0, 0)
            message = f"this is no TOML: {_LINE_IN_MESSAGE.sub('', str(error)).strip()}"
            hint = 'lines look like `name = "text"`, `name = 5` or `name = true`'
            raise ConfigError((ConfigProblem(file, line, column, message, hint),)) from None

    def report(self, path: tuple[str | int, ...], message: str, hint: str) -> None:
        """Note a mistake at the value that `path` leads to."""
        self.problems.append(ConfigProblem(self._file, self._line_of(path), 1, message, hint))

    def require_sound(self) -> None:
        """Raises ConfigError with every mistake, if there are any."""
        if self.problems:
            raise ConfigError(tuple(self.problems))

    def _line_of(self, path: tuple[str | int, ...]) -> int:
        """The line of the last step that can be found; 1 if none."""
        found = 1
        for number, known in self._lines():
            if known[: len(path)] == path:
                return number
            if known == path[: len(known)]:
                found = number
        return found

    def _lines(self) -> Iterator[tuple[int, tuple[str | int, ...]]]:
        """Every line that opens a table or gives a value, with the path it is about."""
        place: tuple[str | int, ...] = ()
        counts: dict[str, int] = {}
        for number, line in enumerate(self._text.splitlines(), start=1):
            header = _HEADER.fullmatch(line)
            if header:
                name = header[1]
                place = tuple(name.split("."))
                if line.lstrip().startswith("[["):
                    place = (*place, counts.setdefault(name, 0))
                    counts[name] += 1
                yield number, place
            elif "=" in line and not line.lstrip().startswith("#"):
                yield number, (*place, line.partition("=")[0].strip().strip("\"'"))


class Table:
    """One table of the document. A `take_*` with a wrong value notes it and gives the default."""

    def __init__(self, document: Document, path: tuple[str | int, ...], values: Any) -> None:
        self._document = document
        self._path = path
        self._left: dict[str, Any] = dict(values) if isinstance(values, dict) else {}
        if not isinstance(values, dict):
            self._document.report(path, f"{path[-1]} is no table", f"write [{path[-1]}]")

    def report(self, name: str, message: str, hint: str = "") -> None:
        """Note a mistake in the value of this name."""
        self._document.report((*self._path, name) if name else self._path, message, hint)

    def take(self, name: str, default: Any) -> Any:
        """The value as it stands."""
        return self._left.pop(name, default)

    def take_bool(self, name: str, default: bool) -> bool:
        """true or false."""
        value: bool = self._typed(name, default, bool, "true or false")
        return value

    def take_text(self, name: str, default: str | None = None) -> str | None:
        """A text."""
        value: str | None = self._typed(name, default, str, 'a text in quotes: "..."')
        return value

    def take_number(self, name: str, default: int, least: int, most: int) -> int:
        """A whole number between `least` and `most`."""
        value: int = self._typed(name, default, int, f"a whole number from {least} to {most}")
        if not least <= value <= most:
            self.report(name, f"{name} is {value}", f"write a number from {least} to {most}")
            return default
        return value

    def take_list(
        self, name: str, default: tuple[Any, ...], is_right: Callable[[Any], bool], wanted: str
    ) -> tuple[Any, ...]:
        """A list whose every entry passes `is_right`."""
        values = self._typed(name, list(default), list, f"a list of {wanted}")
        for value in values:
            if not is_right(value):
                self.report(name, f"{value!r} in {name} is wrong", f"write a list of {wanted}")
                return default
        return tuple(values)

    def table(self, name: str) -> Table:
        """A table inside this one; empty if it is not there."""
        return Table(self._document, (*self._path, name), self._left.pop(name, {}))

    def tables(self, name: str) -> list[Table]:
        """The tables `[[...name]]`, in order."""
        values = self._typed(name, [], list, f"written as [[{name}]], once for each")
        return [
            Table(self._document, (*self._path, name, number), value)
            for number, value in enumerate(values)
        ]

    def items(self) -> Iterator[tuple[str, Any]]:
        """Everything not yet taken."""
        while self._left:
            name = next(iter(self._left))
            yield name, self._left.pop(name)

    def refuse_the_rest(self) -> None:
        """What nobody took is a mistake."""
        for name, _ in self.items():
            self.report(name, f"{name} means nothing here", "a typing error? see docs/apps/mail.md")

    def _typed(self, name: str, default: Any, kind: type, wanted: str) -> Any:
        value = self._left.pop(name, default)
        if value is None or type(value) is kind:
            return value
        self.report(name, f"{name} is {value!r}", f"it is {wanted}")
        return default
