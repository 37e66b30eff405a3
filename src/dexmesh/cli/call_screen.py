"""Draw a call in progress on the terminal: with whom, how long, how loud, how well.

Place     seat_run.py tells and draws -> here; cli/call_show.py says what it is like
Keeps     one small picture, whatever the terminal; a terminal that takes nothing (Ctrl-S) is not drawn
          on (unblocked.py has the rest of it); after the call the lines that were told stay
Not here  what keys do (seat_run.py)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel as Frame
from rich.text import Text

from dexmesh.cli.call_show import Story
from dexmesh.cli.call_words import clock, opinion
from dexmesh.cli.output import is_writable, printable, say

LINES_KEPT: Final = 4
_METER_CELLS: Final = 24
_QUIETEST_DB: Final = -60.0  # the left end of a meter
_LOUD_DB, _TOO_LOUD_DB = -12.0, -3.0
_KEYS: Final = "q hangs up  h holds  m mutes  0-9 * # are keys"


class CallScreen:
    """A `Show` on a terminal: lines, and a picture while somebody talks."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        self._lines: deque[str] = deque(maxlen=LINES_KEPT)
        self._untold: list[str] = []
        self._live: Live | None = None

    def tell(self, event: Mapping[str, Any], words: str) -> None:
        """In the picture while there is one, and for good after it."""
        if not words:
            return
        if self._live is None:
            say(words)
            return
        self._lines.extend(words.splitlines())
        self._untold.append(words)

    def draw(self, story: Story, now: float) -> None:
        """Draw the call, if the terminal takes it."""
        if story.since is None:
            return
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()
        if is_writable(self._console):
            self._live.update(picture(story, tuple(self._lines), now), refresh=True)

    def rest(self) -> None:
        """Give the terminal back; what was told stays."""
        if self._live is not None:
            self._live.stop()
            self._live = None
        for words in self._untold:
            say(words)
        self._untold.clear()
        self._lines.clear()


def picture(story: Story, lines: Sequence[str], now: float) -> RenderableType:
    """The call as it is now."""
    head = _line((story.name, "bold"), "   ", _state(story), "   ", (_length(story, now), "cyan"))
    parts = [
        head,
        *([_line((story.address, "dim"))] if story.address not in ("", story.name) else []),
        Text(),
        _meter("they", story.heard_db, "held" if story.is_held_there else ""),
        _meter("you", story.spoken_db, "muted" if story.is_muted else ""),
        Text(),
        *(_figures(story.statistics)),
        *([_line((f"recording {story.recording}", "dim"))] if story.recording else []),
        *([_line((_others(story), "yellow"))] if story.others else []),
        *(_line((line, "yellow")) for line in lines),
    ]
    return Frame(Group(*parts), title="dexmesh call", subtitle=_KEYS, width=None)


def _line(*parts: str | tuple[str, str]) -> Text:
    safe = [
        printable(one) if isinstance(one, str) else (printable(one[0]), one[1]) for one in parts
    ]
    return Text.assemble(*safe, no_wrap=True, overflow="ellipsis")


def _state(story: Story) -> tuple[str, str]:
    if story.is_held_here:
        return "on hold: h goes on", "yellow"
    if story.is_held_there:
        return "held by the other side", "yellow"
    return story.state, "green"


def _others(story: Story) -> str:
    return f"on hold: {', '.join(story.others)}  (s goes over)"


def _length(story: Story, now: float) -> str:
    return "" if story.since is None else clock(max(0.0, now - story.since))


def _meter(who: str, level_db: float | None, remark: str) -> Text:
    shown = 0.0 if level_db is None else 1 - max(_QUIETEST_DB, level_db) / _QUIETEST_DB
    cells = round(_METER_CELLS * shown)
    level = _QUIETEST_DB if level_db is None else level_db
    style = "red" if level > _TOO_LOUD_DB else "yellow" if level > _LOUD_DB else "green"
    return _line(
        (f"{who:<5}", "dim"),
        ("█" * cells, style),
        ("·" * (_METER_CELLS - cells), "dim"),
        (f"  {remark}", "yellow"),
    )


def _figures(statistics: Mapping[str, Any]) -> list[Text]:
    if not statistics.get("codec"):
        return [_line(("no sound yet", "dim"))]
    mos = statistics.get("mos")
    quality = f"{_shown(statistics, 'mos', 1)} {opinion(mos)}"
    style = "green" if (mos or 0) >= 3.6 else "yellow" if (mos or 0) >= 3.1 else "red"
    return [
        _line(
            *_pair("codec", str(statistics["codec"])),
            *_pair("loss", f"{_shown(statistics, 'recent_loss_percent', 1)} %"),
            *_pair("jitter", f"{_shown(statistics, 'jitter_ms', 0)} ms"),
            *_pair("delay", f"{_shown(statistics, 'delay_ms', 0)} ms"),
            ("MOS ", "dim"),
            (quality, style),
        ),
        _line(
            *_pair("they miss", f"{_shown(statistics, 'remote_loss_percent', 1)} %"),
            *_pair("buffer", f"{_shown(statistics, 'buffer_ms', 0)} ms"),
            *_pair("round trip", f"{_shown(statistics, 'round_trip_ms', 0)} ms"),
        ),
    ]


def _pair(name: str, value: str) -> tuple[tuple[str, str], str]:
    return (f"{name} ", "dim"), f"{value}   "


def _shown(statistics: Mapping[str, Any], name: str, digits: int) -> str:
    value = statistics.get(name)
    return f"{value:.{digits}f}" if isinstance(value, int | float) else "–"
