"""The training engine: data, model steps over several ranks, checkpoints."""
