"""Results as tables, as data, and again at every change."""
