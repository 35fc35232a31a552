"""Ways to run replicas on a node. Which replicas run is decided elsewhere."""
