"""One small module per outside fact: clock, disk, threads, tasks, log."""
