"""From answers to wire types, for both typed clients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar

from pydantic import BaseModel

from penstock.api.jobs import Job
from penstock.api.states import JobState
from penstock.client.requests import Answer
from penstock.client.sse import ServerEvent

ModelT = TypeVar("ModelT", bound=BaseModel)
ENDED: Final = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})


def parse(model: type[ModelT], answer: Answer) -> ModelT:
    return model.model_validate_json(answer.content)


def parse_event(model: type[ModelT], event: ServerEvent) -> ModelT:
    return model.model_validate_json(event.data)


def body(document: BaseModel | Mapping[str, Any]) -> Mapping[str, Any]:
    """What is sent for a wire type: only what was set, so that the server's defaults hold.

    A mapping goes as it is; the server checks it.
    """
    if isinstance(document, BaseModel):
        return document.model_dump(mode="json", exclude_unset=True)
    return document


def has_ended(job: Job) -> bool:
    return job.state in ENDED
