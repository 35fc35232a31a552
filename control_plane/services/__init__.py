"""Use cases, one a file: each reads, decides by the domain's rules, commits, then hints."""
