"""Checkpoints that training replicas have written."""
