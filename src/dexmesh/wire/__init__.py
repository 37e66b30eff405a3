"""Turn bytes from the mesh into frozen values, and back.

Place     everything above imports from here; nothing here imports anything but `dexmesh.errors`
Spec      docs/protocol/01, 03, 04, 05, 06, 08
Keeps     pure functions: no clock, no randomness, no I/O; bad bytes raise `DecodeError` only
Not here  what to do with a value (mesh/), the per-packet path (rust/engine)
"""
