"""Launchers turn committed placements into running replicas."""
