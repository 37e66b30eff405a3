"""Run the `dexmesh` command: `python -m dexmesh`."""

from dexmesh.cli.main import main

if __name__ == "__main__":
    main()
