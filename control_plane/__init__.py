"""The control plane: API, scheduler daemon, gateway and background work over one database."""
