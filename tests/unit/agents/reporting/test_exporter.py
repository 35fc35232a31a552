"""What the exporter shows, and what it does not show because it is not known or gone."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from agents.node.chips.base import Dropped
from agents.reporting.exporter import STALE_S, Exporter, ReplicaGauges
from penstock.api.chips import ChipReport, ChipSample
from penstock.api.ids import ReplicaId
from penstock.api.states import ChipHealth

CHIP = ChipReport(
    key="k0",
    vendor="emulated",
    type="emulated-a100",
    index=0,
    memory_bytes=2**31,
    emulated=True,
    stands_for="acme-a100",
)
LABELS = 'chip="k0",chip_type="emulated-a100",cluster="lab",node="n1",uuid="",vendor="emulated"'
REPLICA = ReplicaGauges(
    ReplicaId("r1"), "tiny", "research", "default", 0, {"k0": 250}, cpu_s=1.5, step=7
)


@dataclass
class Clock:
    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def exporter(clock: Clock) -> Exporter:
    exporter = Exporter("n1", "lab", clock)
    exporter.set_chips([CHIP])
    return exporter


def series(exporter: Exporter) -> dict[str, float]:
    """Every sample of the page: name with sorted labels, to value."""
    found = {}
    for line in exporter.render().splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            found[name] = float(value)
    return found


def names(exporter: Exporter) -> set[str]:
    return {name.partition("{")[0] for name in series(exporter)}


def test_a_chip_that_was_not_read_yet_has_facts_and_no_readings(exporter: Exporter) -> None:
    assert names(exporter) == {"penstock_chip_info", "penstock_chip_memory_total_bytes"}
    (info,) = (name for name in series(exporter) if name.startswith("penstock_chip_info"))
    assert 'emulated="true"' in info
    assert 'stands_for="acme-a100"' in info


def test_readings_are_shown_in_base_units(exporter: Exporter) -> None:
    exporter.set_samples(
        [
            ChipSample(
                key="k0",
                utilization_ratio=0.5,
                memory_used_bytes=9,
                power_watts=70.5,
                temperature_celsius=40,
                health=ChipHealth.HEALTHY,
            )
        ]
    )
    shown = series(exporter)
    assert shown[f"penstock_chip_utilization_ratio{{{LABELS}}}"] == 0.5
    assert shown[f"penstock_chip_memory_used_bytes{{{LABELS}}}"] == 9
    assert shown[f"penstock_chip_power_watts{{{LABELS}}}"] == 70.5
    assert shown[f"penstock_chip_temperature_celsius{{{LABELS}}}"] == 40
    assert shown[f"penstock_chip_health{{{LABELS}}}"] == 1


def test_unknown_figures_are_absent_and_zero_is_shown(exporter: Exporter) -> None:
    exporter.set_samples([ChipSample(key="k0", utilization_ratio=0.0)])
    assert f"penstock_chip_utilization_ratio{{{LABELS}}}" in series(exporter)
    assert not names(exporter) & {
        "penstock_chip_memory_used_bytes",
        "penstock_chip_temperature_celsius",
        "penstock_chip_power_watts",
        "penstock_chip_health",
    }


def test_an_old_reading_disappears_and_its_age_stays(exporter: Exporter, clock: Clock) -> None:
    exporter.set_samples([ChipSample(key="k0", utilization_ratio=0.5)])
    clock.now_s = STALE_S
    assert "penstock_chip_utilization_ratio" in names(exporter)
    clock.now_s = STALE_S + 1
    assert "penstock_chip_utilization_ratio" not in names(exporter)
    assert series(exporter)[f"penstock_chip_sample_age_seconds{{{LABELS}}}"] == STALE_S + 1


def test_the_same_reading_handed_in_again_does_not_grow_young(
    exporter: Exporter, clock: Clock
) -> None:
    readings = [ChipSample(key="k0", utilization_ratio=0.5)]
    exporter.set_samples(readings)
    clock.now_s = 30
    exporter.set_samples(readings)
    assert series(exporter)[f"penstock_chip_sample_age_seconds{{{LABELS}}}"] == 30
    exporter.set_samples([ChipSample(key="k0", utilization_ratio=0.5)])
    assert series(exporter)[f"penstock_chip_sample_age_seconds{{{LABELS}}}"] == 0


def test_a_chip_that_is_gone_leaves_no_series(exporter: Exporter) -> None:
    exporter.set_samples([ChipSample(key="k0", utilization_ratio=0.5)])
    exporter.set_replicas([REPLICA])
    exporter.set_chips([], [Dropped("acme", "GPU 0", "lost"), Dropped("acme", "GPU 1", "lost")])
    assert not {it for it in names(exporter) if it.startswith("penstock_chip_")}
    dropped = 'penstock_chips_dropped{cluster="lab",node="n1",vendor="acme"}'
    assert series(exporter)[dropped] == 2
    exporter.set_chips([CHIP])
    assert "penstock_chip_utilization_ratio" not in names(exporter)


def test_replicas_are_shown_while_they_live(exporter: Exporter) -> None:
    exporter.set_replicas([REPLICA])
    labels = 'cluster="lab",job="tiny",node="n1",project="research",queue="default"'
    shown = series(exporter)
    assert shown[f'penstock_replica_cpu_seconds_total{{{labels},rank="0",replica="r1"}}'] == 1.5
    assert shown[f'penstock_replica_training_step{{{labels},rank="0",replica="r1"}}'] == 7
    assert "penstock_replica_training_loss" not in names(exporter)
    exporter.set_replicas([])
    assert not {it for it in names(exporter) if "replica" in it or "allocated" in it}


def test_parts_of_a_chip_add_up_per_job(exporter: Exporter) -> None:
    other = ReplicaGauges(
        ReplicaId("r2"), "tiny", "research", "default", 1, {"k0": 500, "elsewhere": 1000}
    )
    exporter.set_replicas([REPLICA, other])
    held = {key: it for key, it in series(exporter).items() if key.startswith("penstock_chip_allo")}
    assert list(held.values()) == [0.75]
    assert 'job="tiny"' in next(iter(held))


def test_log_lines_that_were_dropped_are_counted(exporter: Exporter) -> None:
    exporter.dropped_log_lines = lambda: 3
    assert series(exporter)['penstock_log_dropped_lines_total{cluster="lab",node="n1"}'] == 3
