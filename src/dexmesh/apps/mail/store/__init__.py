"""The mail of this node's users, on disk: delivered once, read by any program."""

from dexmesh.apps.mail.store.store import MailStore as MailStore
from dexmesh.apps.mail.store.values import DeliveryResult as DeliveryResult
from dexmesh.apps.mail.store.values import Folder as Folder
from dexmesh.apps.mail.store.values import FolderStatus as FolderStatus
from dexmesh.apps.mail.store.values import ReceivedMail as ReceivedMail
from dexmesh.apps.mail.store.values import Summary as Summary
from dexmesh.apps.mail.store.values import Usage as Usage
