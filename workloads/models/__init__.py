"""Model architectures, one file each, in plain torch."""
