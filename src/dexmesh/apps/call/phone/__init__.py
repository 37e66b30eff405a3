"""What a phone decides, without I/O: who may ring, what a call does next, what becomes of a text."""
