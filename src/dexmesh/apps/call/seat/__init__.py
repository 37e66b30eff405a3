"""The media of a call, in the process that has the sound."""
