"""Log records on their way to subscribers."""

from __future__ import annotations

import logging

import pytest

from dexmesh.admin import log_stream
from dexmesh.admin.assembly import admin_server
from dexmesh.admin.auth import TRACKED_S
from dexmesh.admin.exchange import decode_reply
from dexmesh.admin.functions.log import MOST_LINES
from dexmesh.admin.log_stream import LogStream, level_name, level_of
from dexmesh.errors import AdminError
from tests.unit.admin.calling import SOURCE, Caller
from tests.unit.admin.fake import FakeNode


def new_stream(level: int = logging.INFO) -> tuple[logging.Logger, LogStream]:
    logger = logging.Logger("dexmesh.test", level)
    return logger, LogStream(logger)


def take(stream: LogStream) -> list[dict[str, object]]:
    messages = [decode_reply(data) for _, data in stream.take_messages(lambda _source: True)]
    return [message[1] for message in messages if message is not None]


def subscribe(stream: LogStream, level: str = "DEBUG", file: str = "", line: int = 0) -> bytes:
    return stream.subscribe(SOURCE, b"tx", level, file, line)


def test_a_subscriber_gets_its_level_and_above() -> None:
    logger, stream = new_stream()
    subscribe(stream, "WARN")
    logger.info("quiet")
    logger.warning("loud %s", "text")
    logger.critical("louder")
    messages = take(stream)
    assert [message["message"] for message in messages] == ["loud text", "louder"]
    assert [message["level"] for message in messages] == ["WARN", "CRITICAL"]
    assert messages[0]["file"] == "test_log_stream.py"


def test_filters_for_file_and_line_let_only_those_through() -> None:
    logger, stream = new_stream()
    subscribe(stream, file="other.py")
    logger.info("first")
    record = logger.makeRecord("x", logging.INFO, "/a/other.py", 7, "second", (), None)
    logger.handle(record)
    subscribe(stream, line=7)
    logger.handle(record)
    assert [message["message"] for message in take(stream)] == ["second"] * 3


def test_debug_is_made_only_while_somebody_listens() -> None:
    logger, stream = new_stream()
    stream_id = subscribe(stream)
    assert logger.level == logging.DEBUG
    assert stream.unsubscribe(stream_id)
    assert not stream.unsubscribe(stream_id)
    assert logger.level == logging.INFO


def test_a_stream_leaves_its_logger_as_it_was() -> None:
    logger = logging.Logger("dexmesh.test", logging.NOTSET)
    logger.parent = logging.Logger("dexmesh", logging.WARNING)
    stream = LogStream(logger)
    subscribe(stream, "KEYS")
    assert logger.level == log_stream.LEVELS["KEYS"]
    stream.close()
    assert logger.level == logging.NOTSET
    assert not logger.handlers


def test_what_is_too_much_is_dropped_and_counted_per_subscription() -> None:
    logger, stream = new_stream()
    subscribe(stream)
    for _ in range(log_stream.MAX_WAITING + 5):
        logger.info("again")
    (subscription,) = stream.subscriptions()
    assert subscription.dropped == 5
    assert len(take(stream)) == log_stream.MAX_WAITING
    assert take(stream) == []


def test_long_messages_are_cut_and_broken_ones_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    logger, stream = new_stream()
    subscribe(stream)
    logger.info("x" * 5000)
    logger.info("%d", "not a number")
    logger.info("lone \ud800 surrogate\n")
    cut, replaced = take(stream)
    assert cut["message"] == "x" * log_stream.MAX_MESSAGE_CHARACTERS
    assert replaced["message"] == "lone ? surrogate"
    assert "not a number" in capsys.readouterr().err


def test_the_waker_is_called_once_until_the_messages_are_taken() -> None:
    logger, stream = new_stream()
    calls: list[int] = []
    stream.set_waker(lambda: calls.append(1))
    logger.info("nobody listens")
    subscribe(stream)
    logger.info("one")
    logger.info("two")
    assert len(calls) == 1
    take(stream)
    logger.info("three")
    assert len(calls) == 2


def test_a_subscriber_that_left_hears_nothing_more() -> None:
    logger, stream = new_stream()
    subscribe(stream)
    logger.debug("said")
    assert stream.take_messages(lambda _source: False) == []
    assert stream.subscriptions() == []
    assert logger.level == logging.INFO


def test_at_most_64_listen() -> None:
    _, stream = new_stream()
    for _ in range(log_stream.MAX_SUBSCRIPTIONS):
        subscribe(stream)
    with pytest.raises(AdminError, match="Max subscription count reached"):
        subscribe(stream)


def test_those_who_left_make_room_for_new_subscribers() -> None:
    _, stream = new_stream()
    caller = Caller(admin_server(FakeNode(), b"NONE", stream))
    for _ in range(log_stream.MAX_SUBSCRIPTIONS):
        assert caller.error("AdminLog_subscribe") == "none"
    assert caller.error("AdminLog_subscribe") == "Max subscription count reached."
    caller.source = ("127.0.0.1", 2)
    caller.now += TRACKED_S + 1
    assert caller.error("AdminLog_subscribe") == "none"
    assert len(caller.call("AdminLog_subscriptions")["entries"]) == 1


@pytest.mark.parametrize("line", [-1, 1 << 31])
def test_a_line_that_is_none_is_refused(line: int) -> None:
    caller = Caller(admin_server(FakeNode(), b"NONE", new_stream()[1]))
    assert str(caller.error("AdminLog_subscribe", line=line)).startswith("Invalid line number")


def test_many_lines_can_be_made_but_not_without_end(caplog: pytest.LogCaptureFixture) -> None:
    caller = Caller(admin_server(FakeNode(), b"NONE", new_stream()[1]))
    with caplog.at_level(logging.DEBUG, "dexmesh"):
        assert caller.error("AdminLog_logMany", count=3) == "none"
        assert len(caplog.records) == 3
        assert caller.error("AdminLog_logMany", count=-1) == "none"
        assert caller.error("AdminLog_logMany", count=1 << 62) == "none"
    assert len(caplog.records) == 3 + MOST_LINES


@pytest.mark.parametrize(
    ("text", "level"),
    [(None, "DEBUG"), ("info", "INFO"), ("CRITICAL", "CRITICAL"), ("BOGUS", "KEYS"), ("", "KEYS")],
)
def test_levels_are_read_as_the_original_reads_them(text: str | None, level: str) -> None:
    assert level_of(text) == level


@pytest.mark.parametrize(
    ("number", "name"), [(1, "KEYS"), (9, "KEYS"), (10, "DEBUG"), (25, "INFO"), (99, "CRITICAL")]
)
def test_python_levels_have_the_names_of_cjdns(number: int, name: str) -> None:
    assert level_name(number) == name
