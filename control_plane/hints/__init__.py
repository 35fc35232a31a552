"""Hints that something changed, in a process and between them. Losing one costs a sweep."""
