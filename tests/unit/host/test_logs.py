"""Log lines: fixed message, fields, never broken by a value."""

from __future__ import annotations

import io
import json
import logging

import pytest

from dexmesh.config.settings import LogFormat, LoggingSettings
from dexmesh.host.logs import set_up_logging


def _logged(format_: LogFormat, message: str, **fields: object) -> str:
    stream = io.StringIO()
    set_up_logging(LoggingSettings(format=format_), stream)
    logging.getLogger("dexmesh.test").info(message, extra=fields)
    return stream.getvalue()


def test_a_text_line_has_time_level_place_message_and_fields() -> None:
    line = _logged("text", "link is up", peer="fc00::1", version=20)
    number, level, place, *rest = line.split(" ")
    assert number.isdigit()
    assert level == "INFO"
    assert place.startswith("test_logs.py:")
    assert " ".join(rest) == "link is up peer=fc00::1 version=20\n"


@pytest.mark.parametrize("value", ["two\nlines", 'a "quote"', "", "a=b", "\x1b[31m"])
def test_a_value_cannot_break_or_colour_a_text_line(value: str) -> None:
    line = _logged("text", "message", field=value)
    assert line.count("\n") == 1
    assert "\x1b" not in line
    assert json.loads(line.rstrip("\n").split("field=", 1)[1]) == value


def test_a_json_line_is_one_object_with_every_field() -> None:
    shown = json.loads(_logged("json", "link is up", peer="fc00::1"))
    assert shown["message"] == "link is up"
    assert shown["peer"] == "fc00::1"
    assert shown["level"] == "info"


def test_a_level_below_the_setting_is_silent() -> None:
    stream = io.StringIO()
    set_up_logging(LoggingSettings(level="warning"), stream)
    logging.getLogger("dexmesh.test").info("quiet")
    assert stream.getvalue() == ""


def test_what_the_event_loop_complains_about_is_a_line_of_the_log() -> None:
    stream = io.StringIO()
    set_up_logging(LoggingSettings(), stream)
    logging.getLogger("asyncio").error("Task exception was never retrieved")
    assert "ERROR" in stream.getvalue()
    assert "never retrieved" in stream.getvalue()
