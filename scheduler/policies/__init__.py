"""Policies: in which order gangs are considered and what a preemption costs; one a file."""
