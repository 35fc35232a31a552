"""What runs on this node: desired replicas made actual, their processes being the runtimes'."""
