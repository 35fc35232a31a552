"""The server as a process: connections, threads for requests, its parent and its beats."""
