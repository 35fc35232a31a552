"""Kernel contracts and the backends that implement them, one folder each."""
