"""Alembic's migrations: how each version of the schema came out of the one before."""
