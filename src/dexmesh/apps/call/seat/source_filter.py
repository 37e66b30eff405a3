"""Have the kernel drop what others send to a UDP socket, before it fills the queue of what the peer sends.

Place     sockets.py -> here -> the kernel, socket(7) SO_ATTACH_FILTER
Spec      Linux Documentation/networking/filter.rst (classic BPF); RFC 8200 §3 (where the source address is)
Keeps     a flood from anywhere else costs this process nothing and the call not one packet
Not here  what a packet that is let through holds; where there is no such filter, sockets.py looks itself
"""

from __future__ import annotations

import contextlib
import ctypes
import socket
import struct
from typing import Final

_SO_ATTACH_FILTER: Final = 26  # asm-generic/socket.h
_SO_MEMINFO: Final = 55
_DROPS: Final = 8  # SK_MEMINFO_DROPS: place in that table of 32 bit numbers
_LOAD_WORD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06  # linux/bpf_common.h
_NETWORK_HEADER = 0xFFF00000  # SKF_NET_OFF: offsets are those of the IPv6 header
_SOURCE = 8  # RFC 8200 §3
_WHOLE, _NOTHING = 0xFFFFFFFF, 0

_INSTRUCTION = struct.Struct("@HBBI")
_PROGRAM = struct.Struct("@HP")
_MEMINFO = struct.Struct("@9I")


def hear_only(udp: socket.socket, address: bytes) -> None:
    """Let nothing in but packets from this IPv6 address (16 bytes), if the kernel can do that."""
    words = struct.unpack("!4I", address)
    code = []
    for number, word in enumerate(words):
        left = 2 * (len(words) - number) - 1  # instructions to the last but one, and over it
        code.append((_LOAD_WORD, 0, 0, _NETWORK_HEADER + _SOURCE + 4 * number))
        code.append((_JUMP_IF_EQUAL, 0, left, word))
    code += [(_RETURN, 0, 0, _WHOLE), (_RETURN, 0, 0, _NOTHING)]
    kept = ctypes.create_string_buffer(b"".join(_INSTRUCTION.pack(*one) for one in code))
    program = _PROGRAM.pack(len(code), ctypes.addressof(kept))
    with contextlib.suppress(OSError):
        udp.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


def dropped(udp: socket.socket) -> int:
    """How many packets the kernel dropped for that socket: of others, and that found no room."""
    try:
        told = udp.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
    except OSError:
        return 0
    return int(_MEMINFO.unpack(told)[_DROPS]) if len(told) == _MEMINFO.size else 0
