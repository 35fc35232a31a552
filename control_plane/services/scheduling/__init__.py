"""The cycle: who leads, what is decided, and its commit."""
