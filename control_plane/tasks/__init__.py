"""Background work on Celery. No task owns state: rows do, and each task calls one service."""
