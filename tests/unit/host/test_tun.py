"""Opening a TUN, with a kernel that refuses what the test wants refused."""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path

import pytest

from dexmesh.errors import PermissionNeededError, TunError
from dexmesh.host import tun
from dexmesh.host.tun import OFFLOAD_VARIABLE, OpenTun, TunMode, open_tun

_TUNSETIFF = 0x400454CA
_TUNSETOFFLOAD = 0x400454D0
_VNET_HEADER = 0x4000
_USO = 0x60
_TSO = 0x06


class Kernel:
    """Answers ioctl; every set flag or offload in `refused_*` gives EINVAL."""

    def __init__(self) -> None:
        self.refused_flags = 0
        self.refused_offloads = 0
        self.attach_errno = 0
        self.attached: list[tuple[str, int]] = []

    def ioctl(self, fd: int, request: int, argument: bytes | int) -> bytes:
        os.fstat(fd)  # the descriptor must be open
        if request == _TUNSETIFF and isinstance(argument, bytes):
            name, flags = struct.unpack_from("16sH", argument)
            if self.attach_errno:
                raise OSError(self.attach_errno, os.strerror(self.attach_errno))
            if flags & self.refused_flags:
                raise OSError(errno.EINVAL, "refused")
            text = name.rstrip(b"\0").decode() or "tun7"
            self.attached.append((text, flags))
            return text.encode().ljust(16, b"\0") + argument[16:]
        if (
            request == _TUNSETOFFLOAD
            and isinstance(argument, int)
            and argument & self.refused_offloads
        ):
            raise OSError(errno.EINVAL, "refused")
        return b""


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Kernel:
    kernel = Kernel()
    monkeypatch.delenv(OFFLOAD_VARIABLE, raising=False)
    monkeypatch.setattr("fcntl.ioctl", kernel.ioctl)
    device = tmp_path / "tun"
    device.touch()
    settings = tmp_path / "conf"
    for name in ("all", "tun7", "off0"):
        (settings / name).mkdir(parents=True)
        (settings / name / "disable_ipv6").write_text("1\n" if name == "off0" else "0\n")
    monkeypatch.setattr(tun, "_DEVICE", device)
    monkeypatch.setattr(tun, "_IPV6_SETTINGS", settings)
    return kernel


def _open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def _close(opened: OpenTun) -> OpenTun:
    os.close(opened.fd)
    return opened


def test_a_new_kernel_gives_the_highest_rung_and_names_the_device(kernel: Kernel) -> None:
    opened = _close(open_tun())
    assert (opened.name, opened.mode) == ("tun7", TunMode.USO)
    assert kernel.attached == [("tun7", 0x0001 | 0x1000 | _VNET_HEADER)]


@pytest.mark.parametrize(
    ("offloads", "flags", "expected"),
    [(_USO, 0, TunMode.TSO), (_USO | _TSO, 0, TunMode.PLAIN), (0, _VNET_HEADER, TunMode.PLAIN)],
)
def test_each_refused_rung_falls_to_the_next_and_leaks_no_descriptor(
    kernel: Kernel, offloads: int, flags: int, expected: TunMode
) -> None:
    kernel.refused_offloads, kernel.refused_flags = offloads, flags
    before = _open_descriptors()
    opened = open_tun("mesh0")
    assert _open_descriptors() == before + 1
    assert (_close(opened).name, opened.mode) == ("mesh0", expected)
    has_header = bool(kernel.attached[-1][1] & _VNET_HEADER)
    assert has_header == (expected != TunMode.PLAIN)


@pytest.mark.parametrize(
    ("value", "expected"),
    [("uso", TunMode.USO), ("tso", TunMode.TSO), ("off", TunMode.PLAIN), ("", TunMode.USO)],
)
def test_the_environment_sets_the_highest_rung(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch, value: str, expected: TunMode
) -> None:
    monkeypatch.setenv(OFFLOAD_VARIABLE, value)
    assert _close(open_tun()).mode == expected


def test_an_argument_beats_the_environment(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(OFFLOAD_VARIABLE, "uso")
    assert _close(open_tun(highest=TunMode.PLAIN)).mode == TunMode.PLAIN


def test_an_unknown_rung_says_which_there_are(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(OFFLOAD_VARIABLE, "fast")
    with pytest.raises(TunError) as caught:
        open_tun()
    assert all(rung in caught.value.hint for rung in ("uso", "tso", "off"))


@pytest.mark.parametrize("name", ["", "sixteen-letters-", "a b", "a/b", "..", "a%d"])
def test_a_name_no_device_can_have_is_refused(kernel: Kernel, name: str) -> None:
    with pytest.raises(TunError, match="cannot be the name"):
        open_tun(name)
    assert kernel.attached == []


@pytest.mark.parametrize(
    ("code", "kind", "hint"),
    [
        (errno.EPERM, PermissionNeededError, "CAP_NET_ADMIN"),
        (errno.EBUSY, TunError, "another node"),
        (errno.EINVAL, TunError, "ip tuntap add"),
        (errno.ENOMEM, TunError, "dmesg"),
    ],
)
def test_every_refusal_says_what_to_do_and_closes_the_descriptor(
    kernel: Kernel, code: int, kind: type[TunError], hint: str
) -> None:
    kernel.attach_errno = code
    before = _open_descriptors()
    with pytest.raises(kind) as caught:
        open_tun("mesh0")
    assert hint in caught.value.hint
    assert _open_descriptors() == before


def test_a_missing_control_device_names_the_module(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tun, "_DEVICE", tmp_path / "missing")
    with pytest.raises(TunError) as caught:
        open_tun()
    assert "modprobe tun" in caught.value.hint


def test_a_device_without_ipv6_is_let_go_and_the_switch_is_named(kernel: Kernel) -> None:
    before = _open_descriptors()
    with pytest.raises(TunError) as caught:
        open_tun("off0")
    assert "net.ipv6.conf.off0.disable_ipv6=0" in caught.value.hint
    assert _open_descriptors() == before


def test_a_kernel_without_ipv6_is_told_before_anything_is_opened(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tun, "_IPV6_SETTINGS", tmp_path / "nothing")
    with pytest.raises(TunError, match="no IPv6"):
        open_tun()
    assert kernel.attached == []
