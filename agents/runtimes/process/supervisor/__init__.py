"""The small process that each replica runs under. Standard library only: it must start fast."""
