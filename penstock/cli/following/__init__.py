"""Staying with a job: its output as it comes, how far it has come, its end."""
