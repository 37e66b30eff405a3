"""`python -m dexmesh.apps.mail.sendmail`."""

import sys

from dexmesh.apps.mail.sendmail.program import main

sys.exit(main())
