"""Pure state machines and rules: no database, network, file, clock or environment."""
