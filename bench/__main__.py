"""Run every benchmark: `make bench`."""

from __future__ import annotations

import sys

from bench import datapath

if __name__ == "__main__":
    sys.exit(datapath.main(sys.argv[1:]))
