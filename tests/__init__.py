"""The tests. A package only at its top: folders below need no `__init__.py`."""
