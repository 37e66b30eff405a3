"""Settings for every property test: the same run each time, no clock, few enough examples."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile(
    "dexmesh",
    deadline=None,
    derandomize=True,
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("dexmesh")
