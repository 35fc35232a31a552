"""The `penstock` command. It talks to the API like any client and imports no server code."""
