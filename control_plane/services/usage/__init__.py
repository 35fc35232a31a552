"""What was used and measured, and for how long it is kept."""
