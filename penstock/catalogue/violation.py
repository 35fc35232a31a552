"""Makes violations: their message is the catalogue's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from penstock.api.errors import Violation
from penstock.api.messages import Message, as_params
from penstock.catalogue.render import render

if TYPE_CHECKING:
    from penstock.api.messages import Parameter


def violation(
    pointer: str,
    code: str,
    /,
    *,
    received: object = None,
    allowed: Sequence[str] | None = None,
    did_you_mean: str | None = None,
    **params: Parameter,
) -> Violation:
    """What is wrong at one place. `received` and `allowed` are shown beside the message."""
    message = Message(code, as_params(params))
    return Violation(
        pointer=pointer,
        message=render(message),
        code=code,
        params=dict(message.params),
        received=received,
        allowed=None if allowed is None else list(allowed),
        did_you_mean=did_you_mean,
    )
