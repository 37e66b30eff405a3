"""sd_notify: heard where somebody listens, silent elsewhere."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from dexmesh.host.systemd import notify


def test_systemd_hears_the_lines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        assert notify("READY=1", "STATUS=fc00::1")
        assert listener.recv(100) == b"READY=1\nSTATUS=fc00::1"


def test_the_abstract_name_space_works(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0dexmesh-test-notify")
        monkeypatch.setenv("NOTIFY_SOCKET", "@dexmesh-test-notify")
        assert notify("READY=1")
        assert listener.recv(100) == b"READY=1"


@pytest.mark.parametrize("value", ["", "relative", "/no/such/socket"])
def test_nobody_listening_is_no_error(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", value)
    assert not notify("READY=1")
