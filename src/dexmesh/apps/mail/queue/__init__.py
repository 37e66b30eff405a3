"""The queue of mails for other nodes: `MailQueue`, and the values it takes and gives.

Place     submission.py, delivery.py, reports.py, control_calls.py -> here
Spec      docs/apps/mail.md §4 Queue
"""

from dexmesh.apps.mail.queue.mailqueue import MailQueue
from dexmesh.apps.mail.queue.rows import DsnAsked, Notify, QueueId, State, Waiting
from dexmesh.apps.mail.queue.textqueue import TextQueue

__all__ = ["DsnAsked", "MailQueue", "Notify", "QueueId", "State", "TextQueue", "Waiting"]
