"""Say moments, lengths and sizes as people say them.

Place     cli/mail_*.py, cli/call*.py, cli/text*.py -> here
"""

from __future__ import annotations

import time


def when(unix_time: float) -> str:
    """A moment as people write it in lists: the hour today, the day this year, else the date."""
    moment, now = time.localtime(unix_time), time.localtime()
    if (moment.tm_year, moment.tm_yday) == (now.tm_year, now.tm_yday):
        return time.strftime("%H:%M", moment)
    if moment.tm_year == now.tm_year:
        return time.strftime("%d %b", moment)
    return time.strftime("%Y-%m-%d", moment)


def ago(unix_time: float) -> str:
    """How long ago, or how soon."""
    seconds = time.time() - unix_time
    length = duration(abs(seconds))
    return f"{length} ago" if seconds >= 0 else f"in {length}"


def duration(seconds: float) -> str:
    """A length of time in one unit."""
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def size_in_words(count: int) -> str:
    """A number of bytes in one unit."""
    for unit, size in (("MB", 1 << 20), ("kB", 1 << 10)):
        if count >= size:
            return (
                f"{count / size:.0f} {unit}" if count >= 10 * size else f"{count / size:.1f} {unit}"
            )
    return f"{count} B"
