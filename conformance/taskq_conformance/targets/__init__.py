"""Our own targets, by name."""
