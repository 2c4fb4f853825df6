"""A benchmark of the daemon: scripts/bench runs it."""
