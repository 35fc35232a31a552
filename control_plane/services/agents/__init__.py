"""What agents are told and what they report."""
