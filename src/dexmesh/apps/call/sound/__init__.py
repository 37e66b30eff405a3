"""Where sound comes from and goes to: files, silence, devices."""
