"""Know other nodes by asking: the table, the searches, the answers (docs/protocol/06).

Place     mesh/pathfinder.py is the only one that looks in here
"""
