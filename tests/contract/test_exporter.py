"""The exporter over HTTP on loopback, and its page in Prometheus' own judgement."""

from __future__ import annotations

import shutil
import subprocess
import urllib.error
import urllib.request

import pytest

from agents.reporting.exporter import Exporter, ReplicaGauges
from penstock.api.chips import ChipReport, ChipSample
from penstock.api.ids import ReplicaId
from penstock.api.states import ChipHealth


@pytest.fixture
def exporter() -> Exporter:
    """One chip and one replica of which everything is known: every family has a series."""
    exporter = Exporter("node-1", "lab")
    exporter.set_chips(
        [ChipReport(key="k0", vendor="emulated", type="emulated-a100", index=0, memory_bytes=1)]
    )
    exporter.set_samples(
        [
            ChipSample(
                key="k0",
                utilization_ratio=0.5,
                memory_used_bytes=1,
                temperature_celsius=4,
                power_watts=3,
                health=ChipHealth.HEALTHY,
            )
        ]
    )
    exporter.set_replicas(
        [
            ReplicaGauges(
                ReplicaId("r1"), "tiny", "research", "default", 0, {"k0": 1000}, 1.5, 2, 3.5, 4, 5.5
            )
        ]
    )
    return exporter


def test_prometheus_finds_no_fault_with_names_types_and_help(exporter: Exporter) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    page = exporter.render()
    checked = subprocess.run(
        [promtool, "check", "metrics"], input=page, text=True, capture_output=True, check=False
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
    assert page.count("# TYPE") == 16


def test_no_series_only_says_when_another_was_created(exporter: Exporter) -> None:
    assert "penstock_replica_cpu_seconds_total{" in exporter.render()
    assert "_created" not in exporter.render()


def test_the_page_is_served_on_loopback_until_the_exporter_stops(exporter: Exporter) -> None:
    port = exporter.start(0)
    address = f"http://127.0.0.1:{port}/metrics"
    with urllib.request.urlopen(address, timeout=10) as answer:
        page = answer.read().decode()
    assert 'penstock_chip_utilization_ratio{chip="k0"' in page
    exporter.stop()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(address, timeout=2)
    exporter.stop()


def test_a_taken_port_is_an_error_at_start(exporter: Exporter) -> None:
    port = exporter.start(0)
    second = Exporter("node-2")
    with pytest.raises(OSError, match="in use"):
        second.start(port)
    exporter.stop()
