"""The node agent: finds chips, reports their health and use, runs replicas, ships logs."""
