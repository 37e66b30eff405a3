"""Run the `dexmesh` command: `python -m dexmesh`."""

import sys

from dexmesh.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
