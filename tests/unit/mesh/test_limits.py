"""Tests of mesh/limits.py."""

from __future__ import annotations

from dexmesh.mesh.limits import Limiter, TokenBucket


def test_a_bucket_allows_a_burst_and_then_its_rate() -> None:
    bucket = TokenBucket(per_second=2.0, burst=3.0, now=0.0)
    assert [bucket.take(0.0) for _ in range(4)] == [True, True, True, False]
    assert bucket.next_token(0.0) == 0.5
    assert bucket.take(0.5)
    assert not bucket.take(0.5)
    assert bucket.next_token(100.0) == 100.0


def test_time_that_runs_backwards_fills_nothing() -> None:
    bucket = TokenBucket(per_second=1.0, burst=1.0, now=10.0)
    assert bucket.take(10.0)
    assert not bucket.take(5.0)


def test_a_limiter_keeps_a_bounded_number_of_keys_and_forgets_the_least_recent() -> None:
    limiter: Limiter[int] = Limiter(per_second=0.001, burst=1.0, most=2)
    assert limiter.allows(1, 0.0)
    assert limiter.allows(2, 0.0)
    assert not limiter.allows(1, 0.0)
    assert limiter.allows(3, 0.0), "this one makes 2 be forgotten"
    assert len(limiter) == 2
    assert not limiter.allows(1, 0.0)
    assert limiter.allows(2, 0.0)
