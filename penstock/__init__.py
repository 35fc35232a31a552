"""The public package of Penstock: wire types, the Python client and the `penstock` command."""

__version__ = "0.1.0"
