"""The database: tables, repositories, the unit of work, and rows as scheduler snapshots."""
