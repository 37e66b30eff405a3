"""What was called and written, on disk."""
