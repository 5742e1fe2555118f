"""What the words mean: pure decisions and values, no I/O."""
