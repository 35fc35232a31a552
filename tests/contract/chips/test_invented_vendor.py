"""A new vendor is a row, a provider file and a fixture; the agent takes it from there."""

from __future__ import annotations

import json
from typing import Any

import pytest

from penstock.api.chips import ChipReport, ChipSample
from penstock.api.vendors import vendor_table
from tests.guides import SourceCopy
from tests.invented_vendor import CHIP_TYPE, FIXTURE, KEY, PROVIDER, TABLE, plant

LOOK = """
import json, logging, pathlib, sys, structlog
from agents.node import chips
from agents.runtimes.process.environment import visibility
from agents.reporting.exporter import Exporter
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
context = chips.host_context(pathlib.Path(sys.argv[1]), measure=False)
providers = chips.load(context)
found, samples = chips.probe(providers), chips.sample(providers)
exporter = Exporter("node-1")
exporter.set_chips(found.chips, found.dropped)
exporter.set_samples(samples)
print(json.dumps({
    "chips": [it.model_dump(mode="json") for it in found.chips],
    "samples": [it.model_dump(mode="json") for it in samples],
    "dropped": [str(it) for it in found.dropped],
    "visibility": visibility(found.chips, context.vendors),
    "page": exporter.render(),
}))
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> SourceCopy:
    return plant(tmp_path_factory.mktemp("tree"))


@pytest.fixture(scope="module")
def seen(tree: SourceCopy, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What an agent of the copy reports and exports."""
    found: dict[str, Any] = json.loads(tree.run(LOOK, str(tmp_path_factory.mktemp("state"))))
    return found


def test_the_vendor_is_not_in_the_shipped_table() -> None:
    assert KEY not in vendor_table()


def test_its_chips_are_reported_beside_those_of_the_others(seen: dict[str, Any]) -> None:
    chips = [ChipReport.model_validate(it) for it in seen["chips"]]
    ours = [it for it in chips if it.vendor == KEY]
    assert [(it.key, it.type, it.index) for it in ours] == [
        ("TW-001", CHIP_TYPE, 0),
        ("TW-002", CHIP_TYPE, 1),
    ]
    assert ours[0].memory_bytes == 4 * 2**30
    assert {it.vendor for it in chips} >= {KEY, "cpu"}
    assert f"{KEY} chip 2: it has no serial number" in seen["dropped"]
    assert seen["visibility"]["TIDEWATER_VISIBLE"] == "0,1"


def test_its_readings_reach_the_metrics_and_unknown_ones_do_not(seen: dict[str, Any]) -> None:
    samples = {it["key"]: ChipSample.model_validate(it) for it in seen["samples"]}
    assert samples["TW-001"].utilization_ratio == 0.25
    assert samples["TW-002"].utilization_ratio is None
    shown = [it for it in seen["page"].splitlines() if f'vendor="{KEY}"' in it]
    busy = [it for it in shown if it.startswith("penstock_chip_utilization_ratio")]
    assert [it.rpartition(" ")[2] for it in busy] == ["0.25"]
    assert all(f'chip_type="{CHIP_TYPE}"' in it for it in busy)
    assert sum(it.startswith("penstock_chip_info") for it in shown) == 2
    assert any(it.startswith("penstock_chips_dropped") for it in shown)


def test_nothing_else_was_touched(tree: SourceCopy, seen: dict[str, Any]) -> None:
    assert seen["chips"]
    assert tree.changed() == {TABLE, PROVIDER, FIXTURE}
