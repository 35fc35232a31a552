"""What a checkpoint or a model on storage consists of, and how it is verified."""
