"""Where under the storage a job's files lie, and which addresses are surely below its folder."""

from __future__ import annotations

import re
from typing import Final

from penstock.api.ids import JobId

_PART: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._=-]*")


def job_folder(storage: str, job_id: JobId) -> str:
    """fsspec URI of the job's own folder."""
    return f"{storage}/jobs/{job_id}"


def is_below(uri: str, folder: str) -> bool:
    """Whether `uri` is the folder's own address and plain names after it. Nothing is normalised:
    another spelling of a place (`..`, `%2e`, `::`, another scheme) is another place.
    """
    start, rest = uri[: len(folder) + 1], uri[len(folder) + 1 :]
    return start == f"{folder}/" and all(map(_PART.fullmatch, rest.split("/")))
