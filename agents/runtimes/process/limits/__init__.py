"""Limits on a replica's CPU and memory: by cgroup v1 or v2 where permitted, else a fallback."""
