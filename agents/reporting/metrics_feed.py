"""Hands the exporter and the chip providers what the agent knows of its replicas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agents.node.chips.base import HeldUse, split_use
from agents.node.inventory import NodeWatch
from agents.replicas.controller import ReplicaController
from agents.replicas.states import Held, Replicas
from agents.reporting.exporter import Exporter, ReplicaGauges
from agents.runtimes.base import Runtime


@dataclass(slots=True)
class MetricsFeed:
    """Refreshed by the sweep; scrapes see the last picture."""

    exporter: Exporter
    controller: ReplicaController
    node: NodeWatch

    def refresh(self) -> None:
        self.exporter.set_chips(self.node.inventory.chips, self.node.dropped)
        self.exporter.set_samples(self.node.samples)
        self.exporter.set_replicas(
            [_gauges(held, self.controller.runtime) for held in self.controller.replicas.live()]
        )


def chip_use(replicas: Replicas, runtime: Runtime) -> dict[str, Sequence[HeldUse]]:
    """What the live replicas have used so far of the chips they hold, by chip key."""
    found: dict[str, list[HeldUse]] = {}
    for held in replicas.live():
        use = runtime.use(held.id)
        parts = split_use(held.id, use.cpu_s, use.memory_bytes, held.assignment.chips)
        for key, part in parts.items():
            found.setdefault(key, []).append(part)
    return dict(found)


def _gauges(held: Held, runtime: Runtime) -> ReplicaGauges:
    assignment, progress = held.assignment, held.progress
    use = runtime.use(held.id)
    return ReplicaGauges(
        replica_id=held.id,
        job=assignment.job_name,
        project=assignment.project,
        queue=assignment.queue,
        rank=assignment.rank,
        chips={chip.key: chip.milli for chip in assignment.chips},
        cpu_s=use.cpu_s,
        memory_bytes=use.memory_bytes,
        tokens_per_s=progress.tokens_per_s if progress else None,
        step=progress.step if progress else None,
        loss=progress.loss if progress else None,
    )
