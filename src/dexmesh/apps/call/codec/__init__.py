"""Sound to payload and back."""
