"""Limit how often something may happen, and how many different somethings are remembered.

Place     control.py and dht/responder.py ask before they answer; dht/maintenance.py before it asks
Keeps     a bounded number of buckets; the least recently used one is forgotten
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

_ROUNDING = 1e-6  # of a token: so that the time `next_token` names is not a hair too early


class TokenBucket:
    """Allow `burst` at once and `per_second` on the long run."""

    __slots__ = ("_at", "burst", "per_second", "tokens")

    def __init__(self, per_second: float, burst: float, now: float) -> None:
        self.per_second = per_second
        self.burst = burst
        self.tokens = burst
        self._at = now

    def take(self, now: float) -> bool:
        """Whether one more may happen now; if so it counts."""
        self._fill(now)
        if self.tokens < 1 - _ROUNDING:
            return False
        self.tokens -= 1
        return True

    def next_token(self, now: float) -> float:
        """When `take` will say yes again (now, if it would already)."""
        self._fill(now)
        return now + max(1 - self.tokens, 0) / self.per_second

    def _fill(self, now: float) -> None:
        self.tokens = min(self.burst, self.tokens + max(now - self._at, 0) * self.per_second)
        self._at = now


class Limiter(Generic[K]):
    """One token bucket for each of the `most` most recent keys."""

    def __init__(self, per_second: float, burst: float, most: int) -> None:
        self._per_second, self._burst, self._most = per_second, burst, most
        self._buckets: OrderedDict[K, TokenBucket] = OrderedDict()

    def allows(self, key: K, now: float) -> bool:
        """Whether `key` may once more."""
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = TokenBucket(self._per_second, self._burst, now)
            if len(self._buckets) > self._most:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(key)
        return bucket.take(now)

    def __len__(self) -> int:
        return len(self._buckets)
