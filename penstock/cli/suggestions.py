"""What the server has of a noun, for shell completion: at once, or nothing."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Final

from penstock.cli.config import resolve
from penstock.cli.failures import CliError
from penstock.cli.session import Session, open_api
from penstock.client.errors import ClientError
from penstock.client.requests import Document
from penstock.client.synchronous import DocumentClient

MOST: Final = 200
TIMEOUT_S: Final = 1.0


def documents(session: Session, noun: str) -> list[Document]:
    """At most so many objects of the noun; none where the server does not answer at once."""
    try:
        with open_api(resolve(session.settings), timeout_s=TIMEOUT_S) as api:
            return list(islice(_all(api, noun), MOST))
    except (ClientError, CliError):
        return []


def _all(api: DocumentClient, noun: str) -> Iterable[Document]:
    lists = {
        "jobs": api.jobs.list,
        "nodes": api.nodes.list,
        "chips": api.chips.list,
        "chip types": api.chips.types,
        "queues": api.queues.list,
        "endpoints": api.endpoints.list,
        "tokens": api.tokens.list,
    }
    return lists[noun]()
