"""Puts an agent together for the machine it runs on. What the parts do is their own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import httpx
import structlog

from agents.agent import Agent
from agents.client import ControlPlane
from agents.node import chips, enrol
from agents.node.chips.base import ChipContext
from agents.node.hardware import host
from agents.node.inventory import Host, NodeWatch
from agents.replicas import sockets
from agents.replicas.controller import ReplicaController
from agents.replicas.foreign import ForeignUse
from agents.replicas.ports import Ports
from agents.replicas.readiness import ReadinessLoop, http_probe
from agents.replicas.states import Replicas
from agents.reporting.exporter import Exporter
from agents.reporting.logs import CHUNK_BYTES, LogLoop
from agents.reporting.metrics_feed import MetricsFeed, chip_use
from agents.reporting.reports import ReportLoop
from agents.reporting.workload_socket import WorkloadSocket
from agents.runtimes.process import isolation, users
from agents.runtimes.process.environment import Recipe
from agents.runtimes.process.folders import ReplicaFolders
from agents.runtimes.process.isolation import Isolation
from agents.runtimes.process.limits.limiter import Limiter, detect
from agents.runtimes.process.runtime import ProcessRuntime
from agents.runtimes.process.supervisor import kernel
from agents.settings import Settings
from penstock.api.ids import ReplicaId
from penstock.api.vendors import vendor_table

log = structlog.get_logger()


def build(
    settings: Settings, control_plane: ControlPlane, probing: httpx.AsyncClient, random: Random
) -> Agent:
    """The agent, not yet joined and with nothing running. Raises OSError."""
    replicas = Replicas()
    runtime = _runtime(settings)
    context = chips.host_context(
        settings.state_dir, settings.emulated, lambda: chip_use(replicas, runtime)
    )
    providers = chips.load(context, skip=settings.skip_chips)
    node = NodeWatch(
        _host(settings, context, runtime),
        lambda: chips.probe(providers),
        lambda: chips.sample(providers),
        settings.probe_interval_s,
        settings.sample_interval_s,
    )
    runtime.chips = lambda: node.inventory.chips
    ports = Ports(settings.first_port, settings.last_port, random)
    controller = ReplicaController(runtime, node.inventory.address, ports, replicas=replicas)
    reports = ReportLoop(control_plane, controller)
    logs = LogLoop(control_plane, controller, min(CHUNK_BYTES, settings.log_cap_bytes // 8))
    workloads = WorkloadSocket(control_plane, controller)
    controller.ring, controller.ended = reports.bell.set, _at_end(workloads, logs)
    return Agent(
        settings=settings,
        control_plane=control_plane,
        controller=controller,
        node=node,
        workloads=workloads,
        reports=reports,
        logs=logs,
        readiness=ReadinessLoop(controller, http_probe(probing)),
        foreign=ForeignUse(lambda: chips.holders(providers), runtime, replicas),
        metrics_feed=MetricsFeed(Exporter(settings.name), controller, node),
        random=random,
        folders=runtime.folders,
    )


def recipe_of(settings: Settings) -> Recipe:
    return Recipe(
        python=settings.workload_python,
        inherited=settings.inherited,
        socket=str(sockets.workload_socket(settings.state_dir)),
        cache=str(settings.state_dir.resolve() / "cache"),
        library=str(Path(__file__).parents[1]),
        vendors=vendor_table(),
    )


def separation_of(settings: Settings, recipe: Recipe) -> Isolation:
    """How far replicas could be kept apart here. Only looks."""
    state_dir = settings.state_dir.resolve()
    found = users.detect(settings.project_users, settings.first_uid, recipe, state_dir)
    return replace(isolation.detect(settings.pid_namespace), users=found)


def _runtime(settings: Settings) -> ProcessRuntime:
    limiter = detect(sockets.agent_id(settings.state_dir)) if settings.cgroups else Limiter()
    folders = ReplicaFolders(settings.state_dir.resolve() / "replicas")
    folders.prepare()
    recipe = recipe_of(settings)
    passed = (settings.state_dir.resolve(), folders.root, users.caches(recipe))
    found = separation_of(settings, recipe)
    found = replace(found, users=users.opened(found.users, passed))
    log.info("replicas_are_kept_apart", **found.describe())
    return ProcessRuntime(
        folders,
        limiter,
        recipe,
        log_cap_bytes=settings.log_cap_bytes,
        adopts=kernel.adopt_orphans(),
        isolation=found,
    )


def _host(settings: Settings, context: ChipContext, runtime: ProcessRuntime) -> Host:
    return Host(
        capacity=host.capacity(context.roots, context.allowed_cpus),
        address=settings.address or enrol.own_address(settings.server),
        labels=settings.labels,
        limits=runtime.describe,
    )


def _at_end(workloads: WorkloadSocket, logs: LogLoop) -> Callable[[ReplicaId], Awaitable[None]]:
    async def at_end(replica_id: ReplicaId) -> None:
        workloads.pass_on_last(replica_id)
        await logs.ended(replica_id)

    return at_end
