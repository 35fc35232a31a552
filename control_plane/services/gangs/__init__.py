"""How gangs and their replicas move and end, and what is said of it."""
