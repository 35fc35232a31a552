"""The database itself: connections, turns to write, schema."""
