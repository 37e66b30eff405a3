from __future__ import annotations

from dexmesh.wire.versions import is_compatible, spoken_version


def test_versions_from_16_up_are_compatible() -> None:
    assert not is_compatible(0)
    assert not is_compatible(15)
    assert is_compatible(16)
    assert is_compatible(99)


def test_nobody_is_spoken_to_in_a_version_above_ours() -> None:
    assert spoken_version(16) == 16
    assert spoken_version(20) == 20
    assert spoken_version(22) == 20
