"""What fits where: hard checks, seats for gangs, preferences."""
