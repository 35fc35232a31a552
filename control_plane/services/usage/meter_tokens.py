"""Counts the tokens that a caller used, by endpoint, chip type and hour."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from control_plane.ids import new_id
from control_plane.services.deps import Deps
from control_plane.store.models import TokenUsage
from control_plane.store.unit_of_work import Transaction
from penstock.api.ids import EndpointId, ProjectId, TokenId, UseId


@dataclass(frozen=True, slots=True)
class Metered:
    """One answered request."""

    project_id: ProjectId
    token_id: TokenId
    endpoint_id: EndpointId
    chip_type: str
    prompt_tokens: int
    completion_tokens: int


def meter_tokens(deps: Deps, used: Metered) -> None:
    """Adds to the row of the present hour."""
    deps.run(partial(_meter, deps=deps, used=used), serial=False)


def _meter(tx: Transaction, deps: Deps, used: Metered) -> None:
    hour = deps.clock.now().replace(minute=0, second=0, microsecond=0)
    if tx.token_usages.count(
        used.token_id,
        used.endpoint_id,
        used.chip_type,
        hour,
        used.prompt_tokens,
        used.completion_tokens,
    ):
        return
    row = TokenUsage(
        id=new_id(UseId),
        project_id=used.project_id,
        token_id=used.token_id,
        endpoint_id=used.endpoint_id,
        chip_type=used.chip_type,
        hour=hour,
        num_requests=1,
        prompt_tokens=used.prompt_tokens,
        completion_tokens=used.completion_tokens,
    )
    tx.token_usages.add(row)
