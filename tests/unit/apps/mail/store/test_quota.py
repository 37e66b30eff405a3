"""Numbers of the quota: never too low, and right again after counting."""

from __future__ import annotations

import pytest

from dexmesh.apps.mail.store.quota import RECOUNT_S, Quota
from dexmesh.errors import MailError


def test_a_mail_that_is_on_its_way_while_files_are_counted_is_not_forgotten() -> None:
    quota = Quota(0, {"ann": 0})
    quota.take("ann", 50)
    settled = quota.settled("ann")
    quota.take("ann", 7)
    quota.keep("ann", 50)
    quota.counted("ann", settled, found=0, now=0)  # neither was there when we looked
    assert quota.total == 57


def test_a_mail_removed_elsewhere_is_noticed_by_counting() -> None:
    quota = Quota(100, {"ann": 0})
    quota.take("ann", 90)
    quota.keep("ann", 90)
    assert not quota.has_room("ann", 20)
    quota.counted("ann", quota.settled("ann"), found=10, now=0)
    assert quota.has_room("ann", 90)


def test_counting_is_not_repeated_at_once_for_a_sender_who_insists() -> None:
    quota = Quota(0, {"ann": 100, "tom": 100})
    quota.take("ann", 100)
    assert quota.to_count("ann", 1000.0) == ("ann",)
    quota.counted("ann", 0, 100, 1000.0)
    assert quota.to_count("ann", 1001.0) == ()
    assert quota.to_count("ann", 1001.0 + RECOUNT_S) == ("ann",)


def test_when_all_together_have_too_much_everybody_is_counted() -> None:
    quota = Quota(100, {"ann": 1000, "tom": 1000})
    quota.take("tom", 100)
    assert quota.to_count("ann", 1000.0) == ("ann", "tom")
    with pytest.raises(MailError, match=r"452 4\.3\.1"):
        quota.take("ann", 1)


def test_mail_of_users_who_are_no_more_counts_for_the_whole() -> None:
    quota = Quota(100, {"ann": 0})
    quota.learn({"gone": 90})
    with pytest.raises(MailError, match=r"452 4\.3\.1"):
        quota.take("ann", 11)
