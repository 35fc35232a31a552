"""Launchers turn a node's assignment list into running replicas."""
