"""SIP without I/O: messages, transactions, dialogs (RFC 3261)."""
