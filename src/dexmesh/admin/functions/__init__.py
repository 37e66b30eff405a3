"""The functions of the admin RPC, one file a topic."""
