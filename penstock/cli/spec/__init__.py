"""A job spec out of a file, options and a command."""
