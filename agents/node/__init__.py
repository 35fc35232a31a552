"""The node: its chips, its host, and under which name and incarnation it is known."""
