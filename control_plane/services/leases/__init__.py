"""The time that holds are counted by, and their end."""
