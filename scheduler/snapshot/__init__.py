"""The pool as the planner searches it."""
