"""A cloud on this machine: its folder and its two background processes."""
