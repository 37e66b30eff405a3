"""dexmesh: a cjdns-compatible mesh node, and the programs that make it worth having."""

__version__ = "0.1.0"
