"""What an agent keeps on disk: who it is, and the folders of its replicas."""
