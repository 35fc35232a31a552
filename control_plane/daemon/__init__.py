"""Loops around services: the scheduler daemon."""
