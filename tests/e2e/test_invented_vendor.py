"""A vendor that does not exist, from a row and two files to placed jobs, answers and metrics.

Server and agent run a copy of the source to which only the row, the provider and its fixture
were added.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.e2e.processes import eventually, free_port
from tests.e2e.rig import Cloud, a_cloud
from tests.guides import SourceCopy
from tests.invented_vendor import CHIP_TYPE, FIXTURE, KEY, PROVIDER, TABLE, plant


@dataclass(frozen=True, slots=True)
class Planted:
    cloud: Cloud
    tree: SourceCopy
    exporter: str


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Planted]:
    tree = plant(tmp_path_factory.mktemp("tree"))
    port = free_port()
    with a_cloud(tree=tree.root) as cloud:
        cloud.add_node("tide", "", "--metrics-port", str(port))
        yield Planted(cloud, tree, f"http://127.0.0.1:{port}/metrics")


def test_its_chips_are_in_the_pool_as_its_agent_reported_them(planted: Planted) -> None:
    chips = [it for it in planted.cloud.client.chips.list() if it.vendor == KEY]
    assert [(it.type, it.uuid, it.index) for it in chips] == [
        (CHIP_TYPE, "TW-001", 0),
        (CHIP_TYPE, "TW-002", 1),
    ]
    assert {it.memory_bytes for it in chips} == {4 * 2**30}
    types = {it.type: it for it in planted.cloud.client.chips.types()}
    assert (types[CHIP_TYPE].total, types[CHIP_TYPE].verified) == (2, False)
    assert any("serial" in why for why in planted.cloud.client.nodes.get("tide").dropped)


def test_a_job_that_asks_for_the_vendor_is_placed_on_its_chip_and_sees_it(planted: Planted) -> None:
    script = "echo visible $TIDEWATER_VISIBLE; sleep 3"
    job = planted.cloud.submit(
        name="wet", command=["sh", "-c", script], resources={"chips": 1, "chip": KEY}
    )
    running = planted.cloud.await_job(job.id, "running")
    assert [chip.type for chip in running.chips] == [CHIP_TYPE]
    held = {"vendor": KEY, "chip_type": CHIP_TYPE}
    eventually(
        lambda: value(planted.cloud.url + "/metrics", "penstock_pool_chips_held", **held) == 1,
        "the control plane counts it as held",
    )
    eventually(
        lambda: value(planted.exporter, "penstock_chip_allocated", job="wet") == 1,
        "the exporter shows it as held",
    )
    planted.cloud.await_job(job.id, "succeeded")
    assert planted.cloud.whole_log(job.id) == ["visible 0"]


def test_a_job_for_more_than_there_are_is_told_how_many_there_are(planted: Planted) -> None:
    planted.cloud.submit(name="flood", command=["true"], resources={"chips": 3, "chip": KEY})
    answer = planted.cloud.client.jobs.explain("flood")
    assert answer.code == "too_many_chips"
    assert f"3 chips of vendor {KEY}" in answer.sentence
    assert f"2 {CHIP_TYPE}" in answer.sentence
    planted.cloud.client.jobs.cancel("flood")


def test_a_misspelt_vendor_is_refused_with_the_nearest_name(planted: Planted) -> None:
    done = planted.cloud.cli("job", "submit", "--chip", "tidewatr", "--chips", "1", "--", "true")
    assert done.returncode == 2
    assert KEY in done.stderr


def test_its_metrics_are_those_of_every_vendor(planted: Planted) -> None:
    pool = planted.cloud.url + "/metrics"
    assert value(pool, "penstock_pool_chips", vendor=KEY, chip_type=CHIP_TYPE) == 2
    eventually(
        lambda: value(planted.exporter, "penstock_chip_utilization_ratio", vendor=KEY) == 0.25,
        "its utilisation is shown once it was read",
    )
    assert value(planted.exporter, "penstock_chip_temperature_celsius", vendor=KEY) == 50


def test_nothing_but_the_row_the_provider_and_its_fixture_was_touched(planted: Planted) -> None:
    assert planted.tree.changed() == {TABLE, PROVIDER, FIXTURE}
    assert Path(planted.cloud.tree) == planted.tree.root


def value(url: str, name: str, **labels: str) -> float | None:
    """The first series of that name with these labels on a page of metrics."""
    for line in httpx.get(url, timeout=10).text.splitlines():
        found = re.fullmatch(r"([a-z_]+)\{(.*)\} (\S+)", line)
        if found is None or found[1] != name:
            continue
        if all(f'{key}="{text}"' in found[2] for key, text in labels.items()):
            return float(found[3])
    return None
