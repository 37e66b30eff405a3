"""The door of calls to Rust: what happens to every packet of sound.

Place     media/, codec/ and seat/ -> here -> rust/media, rust/hostio/src/call_socket.rs
Spec      docs/decisions/0015-media-in-rust.md; engine/_native.pyi says what each takes and gives
Keeps     nothing of the node's inside: the one import of `dexmesh.engine` in the apps (pyproject.toml)
Not here  decisions: which source is believed, digits, reports, plans (media/)
"""

from dexmesh.engine import _native

G711 = _native.G711
CallPort = _native.CallPort
Concealment = _native.Concealment
Incoming = _native.Incoming
Law = _native.Law
Outgoing = _native.Outgoing
decode_rtp = _native.decode_rtp
encode_rtp = _native.encode_rtp
