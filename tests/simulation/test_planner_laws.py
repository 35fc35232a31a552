"""The laws of every plan on a great many small pools."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings

from scheduler.model import Snapshot
from tests.unit.scheduler.laws import LAWS
from tests.unit.scheduler.pools import snapshots


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@given(snapshot=snapshots())
@settings(max_examples=400)
def test_it_holds_of_every_plan(law: Callable[[Snapshot], None], snapshot: Snapshot) -> None:
    law(snapshot)
