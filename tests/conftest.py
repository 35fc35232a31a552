"""What all tests share: the order of tiers, hypothesis profiles, the unit tier's time."""

from __future__ import annotations

import gc
import sys
from typing import Final

import pytest
from hypothesis import HealthCheck, settings

TIERS: Final = (
    "tests/unit/",
    "tests/test_",
    "tests/scenarios/",
    "tests/simulation/",
    "tests/contract/",
    "tests/integration/",
    "tests/e2e/",
)
UNIT: Final = TIERS[0]
sys.dont_write_bytecode = True  # an import inside of a unit test is none of its own writing

# The same examples in every run, so that a red build can be made red again; "explore" searches.
settings.register_profile(
    "ci",
    derandomize=True,
    database=None,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("explore", deadline=None, max_examples=1000)
settings.load_profile("ci")

_unit_seconds: dict[str, float] = {}


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Cheap tiers first: a broken function should not hide behind a slow platform test."""
    items.sort(key=lambda item: _tier(item.nodeid))


def pytest_collection_finish() -> None:
    """What collecting has imported stays: the garbage collector need not walk it with each test."""
    gc.collect()
    gc.freeze()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.nodeid.startswith(UNIT):
        _unit_seconds[report.nodeid] = _unit_seconds.get(report.nodeid, 0.0) + report.duration


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says what the unit tier took; its bound is ten seconds."""
    if _unit_seconds:
        total = sum(_unit_seconds.values())
        terminalreporter.write_line(f"unit tier: {len(_unit_seconds)} tests in {total:.1f} s")


def _tier(nodeid: str) -> int:
    return next((n for n, top in enumerate(TIERS) if nodeid.startswith(top)), len(TIERS))
