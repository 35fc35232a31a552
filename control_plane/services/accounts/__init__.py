"""Projects, tokens and queues: who may ask, and where jobs wait."""
