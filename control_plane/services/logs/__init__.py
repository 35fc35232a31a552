"""Output of replicas: kept byte by byte, read and followed."""
