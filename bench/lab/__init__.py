"""The performance lab: small machines in a line, one tunnel between them, and what it is measured by."""
