"""What the control plane is told of this node and its replicas, and the metrics of both."""
