"""What changed, for whoever follows it."""
