"""Structured logs: one JSON object a line on standard error; events, not prose."""

from __future__ import annotations

import logging
import sys

import structlog

from penstock.last_resort import SafeStream, install, rendered


def configure_logging(level: str) -> SafeStream:
    """Called once by `main.py`. The libraries' loggers share the stream, which never raises."""
    stream = install()
    number = logging.getLevelNamesMapping()[level.upper()]
    logging.basicConfig(stream=stream, level=max(number, logging.WARNING), format="%(message)s")
    structlog.configure(
        processors=[
            rendered(
                structlog.contextvars.merge_contextvars,
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(),
            )
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    return stream
