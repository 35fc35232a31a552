"""Deliveries to users' own addresses."""
