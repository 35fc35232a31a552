"""Rows of nodes and chips."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from control_plane.hints.topics import node_topic
from control_plane.store.models import Chip, Node
from control_plane.store.repositories.references import means
from penstock.api.states import NodeIntent


@dataclass(frozen=True, slots=True)
class Host:
    """What a cycle needs of a node; no more columns than that."""

    id: str
    name: str
    version: int
    health: str
    intent: str
    labels: dict[str, Any]
    cores_milli: int
    memory_bytes: int
    heard_at: datetime | None


class Nodes:
    """Nodes by id, name and credential, and their chips."""

    def __init__(self, session: Session, hints: set[str]) -> None:
        self._session = session
        self._hints = hints

    def get(self, node_id: str) -> Node | None:
        return self._session.get(Node, node_id)

    def find(self, ref: str) -> Node | None:
        return self._session.scalar(select(Node).where(means(Node, ref)))

    def named(self, name: str) -> Node | None:
        return self._session.scalar(select(Node).where(Node.name == name))

    def by_credential(self, credential_hash: str) -> Node | None:
        return self._session.scalar(
            select(Node).where(
                (Node.credential_hash == credential_hash)
                | (Node.next_credential_hash == credential_hash)
            )
        )

    def all(self) -> Sequence[Node]:
        return self._session.scalars(select(Node).order_by(Node.name)).all()

    def many(self, node_ids: Collection[str]) -> dict[str, Node]:
        rows = self._session.scalars(select(Node).where(Node.id.in_(tuple(node_ids))))
        return {row.id: row for row in rows}

    def chips(self, node_id: str | None = None) -> Sequence[Chip]:
        """Chips present now, of one node or of all."""
        query = select(Chip).where(Chip.present).order_by(Chip.node_id, Chip.type, Chip.index)
        if node_id is not None:
            query = query.where(Chip.node_id == node_id)
        return self._session.scalars(query).all()

    def chips_of(self, node_ids: Collection[str]) -> Sequence[Chip]:
        """Chips present now, of so many nodes."""
        query = select(Chip).where(Chip.present, Chip.node_id.in_(tuple(node_ids)))
        return self._session.scalars(query.order_by(Chip.node_id, Chip.type, Chip.index)).all()

    def hosts(self) -> Sequence[Host]:
        """Nodes that are not retired, as plain values: what a cycle needs of them."""
        columns = (
            Node.id, Node.name, Node.version, Node.health, Node.intent, Node.labels,
            Node.cores_milli, Node.memory_bytes, Node.heard_at,
        )  # fmt: skip
        query = select(*columns).where(Node.intent != NodeIntent.RETIRED).order_by(Node.name)
        return [Host(*row) for row in self._session.execute(query)]

    def known_chips(self, node_id: str) -> dict[str, Chip]:
        """Every chip the node ever reported, by key."""
        rows = self._session.scalars(select(Chip).where(Chip.node_id == node_id))
        return {row.key: row for row in rows}

    def chip(self, chip_id: str) -> Chip | None:
        return self._session.get(Chip, chip_id)

    def many_chips(self, chip_ids: Collection[str]) -> dict[str, Chip]:
        rows = self._session.scalars(select(Chip).where(Chip.id.in_(tuple(chip_ids))))
        return {row.id: row for row in rows}

    def beat(self, node_id: str, now: datetime, heard_at: datetime, **columns: Any) -> None:
        """Writes a heartbeat's columns past the version guard: they are nobody's decision.
        `heard_at` is lease time, `now` is shown.
        """
        self._session.execute(
            update(Node)
            .where(Node.id == node_id)
            .values(last_heartbeat_at=now, heard_at=heard_at, **columns)
        )

    def bump_generation(self, node_ids: Collection[str]) -> None:
        """Says that the assignment lists of these nodes changed."""
        if node_ids:
            self._session.execute(
                update(Node)
                .where(Node.id.in_(tuple(node_ids)))
                .values(generation=Node.generation + 1)
            )
            self._hints.update(node_topic(node_id) for node_id in node_ids)

    def take(self, versions: Mapping[str, int]) -> Set[str]:
        """Raises the versions of the nodes that still are at these, and says which they are. For
        serial transactions: nobody else changes a version meanwhile.
        """
        rows = self._session.execute(select(Node.id, Node.version).where(Node.id.in_(versions)))
        same = {node_id for node_id, version in rows if versions[node_id] == version}
        if same:
            raised = update(Node).where(Node.id.in_(same)).values(version=Node.version + 1)
            self._session.execute(raised)
        return same

    def add(self, row: Node | Chip) -> None:
        self._session.add(row)
