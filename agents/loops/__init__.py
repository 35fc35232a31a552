"""The agent's loops: each does one thing for ever, and starts again after any failure."""
