"""The pool as the planner sees it, read from the rows."""
