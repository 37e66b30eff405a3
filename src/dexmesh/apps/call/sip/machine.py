"""The states and timers of a transaction, as tables.

Place     transaction.py -> here
Spec      RFC 3261 §17.1.1.2, §17.1.2.2, §17.2.1, §17.2.2 and table 4; RFC 6026 §8
"""

from __future__ import annotations
