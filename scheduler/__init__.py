"""The scheduler: a pure library that turns a snapshot of the pool into a plan."""
