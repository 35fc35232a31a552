"""What runs inside a replica: Penstock's own training and serving engines."""
