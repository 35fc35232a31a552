"""One round with every launcher that owns the processes of nodes: what its nodes should run goes
out, what it sees comes in by the same way as agents' reports.
"""

from __future__ import annotations

import structlog

from control_plane.launchers.base import Launcher, Unreachable
from control_plane.services.agents.assignments import owned_list
from control_plane.services.agents.reports import record_reports
from control_plane.services.deps import Deps
from penstock.api.assignments import ReportRequest
from penstock.api.ids import NodeId

log = structlog.get_logger()
MOST_OBSERVATIONS = 1000


def launch(deps: Deps) -> None:
    """What does not answer is left to the next round."""
    for name, launcher in deps.launchers.items():
        with deps.store.read() as tx:
            node_ids = [node.id for node in tx.nodes.launched_by(name)]
        for node_id in node_ids:
            try:
                _round(deps, launcher, node_id)
            except Unreachable as error:
                log.warning("launcher_unreachable", launcher=name, node_id=node_id, why=str(error))


def _round(deps: Deps, launcher: Launcher, node_id: NodeId) -> None:
    launcher.apply(node_id, owned_list(deps, node_id))
    seen = launcher.observe(node_id)
    for at in range(0, len(seen), MOST_OBSERVATIONS):
        some = ReportRequest(observations=tuple(seen[at : at + MOST_OBSERVATIONS]))
        record_reports(deps, node_id, some)
