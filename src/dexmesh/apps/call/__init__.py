"""Calls and texts: SIP straight between mesh addresses, sound where the person is."""
