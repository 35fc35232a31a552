"""Rows of nodes and chips."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import bindparam, false, func, select, update
from sqlalchemy.orm import Session

from control_plane.hints.topics import node_topic
from control_plane.store.models import Chip, Node
from control_plane.store.repositories.base import Repository, UniqueRows
from control_plane.store.repositories.paging import Slice
from penstock.api.ids import ChipId, NodeId
from penstock.api.states import NodeHealth, NodeIntent
from penstock.json_types import Json


@dataclass(frozen=True, slots=True)
class Standing:
    """What a cycle asks of every node each time; the rest is as its version says."""

    id: NodeId
    name: str
    version: int
    health: str
    intent: str
    heard: bool


@dataclass(frozen=True, slots=True)
class Host:
    """What else a cycle needs of a node; no more columns than that."""

    id: NodeId
    version: int
    labels: dict[str, str]
    cores_milli: int
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Heard:
    """What a look for silent nodes asks of every one."""

    id: NodeId
    health: str
    heard_at: datetime | None


@dataclass(frozen=True, slots=True)
class Beating:
    """What a heartbeat asks of its node; no more columns than that."""

    id: NodeId
    name: str
    health: str
    heard_at: datetime | None
    generation: int
    incarnation: str | None
    launcher: str
    credential_at: datetime


@dataclass(frozen=True, slots=True)
class Sampled:
    """A chip whose use is told."""

    id: ChipId
    node_id: NodeId
    key: str
    health: str


@dataclass(frozen=True, slots=True)
class PlainChip:
    """What a cycle needs of a chip: the same as long as the version of its node is."""

    id: ChipId
    node_id: NodeId
    index: int
    type: str
    vendor: str
    memory_bytes: int | None
    cores_milli: int
    emulated: bool
    health: str
    report: Json


_BEATING: Final = select(
    Node.id,
    Node.name,
    Node.health,
    Node.heard_at,
    Node.generation,
    Node.incarnation,
    Node.launcher,
    Node.credential_at,
).where(Node.id.in_(bindparam("ids", expanding=True)))
_BEAT: Final = (
    update(Node)
    .where(Node.id == bindparam("node_id"))
    .values(
        last_heartbeat_at=bindparam("now"),
        heard_at=bindparam("heard"),
        instance=bindparam("says_instance"),
        converged_generation=bindparam("converged"),
    )
)
_HEARD: Final = select(Node.id, Node.health, Node.heard_at).order_by(Node.name)
_GENERATION: Final = select(Node.generation).where(Node.id == bindparam("id"))
_SAMPLED: Final = select(Chip.id, Chip.node_id, Chip.key, Chip.health).where(
    Chip.node_id.in_(bindparam("ids", expanding=True))
)
_SAMPLE: Final = (
    update(Chip).where(Chip.id == bindparam("chip_id")).values(sample=bindparam("read"))
)


class Nodes(UniqueRows[Node, NodeId]):
    """Nodes by id, name and credential."""

    model = Node

    def __init__(self, session: Session, hints: set[str]) -> None:
        super().__init__(session)
        self._hints = hints

    def named(self, name: str) -> Node | None:
        return self._session.scalar(select(Node).where(Node.name == name))

    def by_credential(self, credential_hash: str) -> Node | None:
        return self._session.scalar(
            select(Node).where(
                (Node.credential_hash == credential_hash)
                | (Node.next_credential_hash == credential_hash)
            )
        )

    def last_heard_of_all(self) -> Sequence[Heard]:
        return [Heard(*row) for row in self._session.execute(_HEARD)]

    def of_health(self, health: NodeHealth) -> Sequence[NodeId]:
        return self._session.scalars(select(Node.id).where(Node.health == health)).all()

    def of_intent(self, intent: NodeIntent) -> Sequence[NodeId]:
        return self._session.scalars(select(Node.id).where(Node.intent == intent)).all()

    def all(self) -> Sequence[Node]:
        return self._session.scalars(select(Node).order_by(Node.name)).all()

    def page_of(self, limit: int, cursor: str | None, retired: bool) -> Slice[Node]:
        """Those that are out of the pool for good only where `retired` asks for them too."""
        query = select(Node) if retired else select(Node).where(Node.intent != NodeIntent.RETIRED)
        return self._page(query, limit, cursor, retired)

    def rename(self, row: Node, name: str) -> None:
        """Flushed: names are unique, and another node may take the name of before."""
        row.name = name
        row.version += 1
        self._session.flush()

    def standing(self, heard_since: datetime) -> Sequence[Standing]:
        """Nodes that are not retired, as plain values: `heard` if they were since then."""
        heard = func.coalesce(Node.heard_at >= heard_since, false())
        query = select(Node.id, Node.name, Node.version, Node.health, Node.intent, heard)
        query = query.where(Node.intent != NodeIntent.RETIRED).order_by(Node.name)
        return [Standing(*row) for row in self._session.execute(query)]

    def last_heard(self) -> Sequence[tuple[str, datetime]]:
        """(name, lease time) of nodes that are not retired and were ever heard of."""
        query = select(Node.name, Node.heard_at).where(Node.intent != NodeIntent.RETIRED)
        return [(name, at) for name, at in self._session.execute(query) if at is not None]

    def hosts(self, node_ids: Collection[NodeId] | None) -> Mapping[NodeId, Host]:
        """These or all, as plain values."""
        query = select(Node.id, Node.version, Node.labels, Node.cores_milli, Node.memory_bytes)
        if node_ids is not None:
            query = query.where(Node.id.in_(tuple(node_ids)))
        return {row[0]: Host(*row) for row in self._session.execute(query)}

    def beating(self, node_ids: Collection[NodeId]) -> dict[NodeId, Beating]:
        """What their heartbeats ask of these nodes."""
        return {row[0]: Beating(*row) for row in self._session.execute(_BEATING, {"ids": node_ids})}

    def beat(self, now: datetime, heard_at: datetime, told: Sequence[Mapping[str, object]]) -> None:
        """Writes heartbeats' columns past the version guard: they are nobody's decision. `heard_at`
        is lease time, `now` is shown; `told` has what each node said, `node_id` with it.
        """
        times = {"now": now, "heard": heard_at}
        rows = sorted(({**times, **it} for it in told), key=lambda row: str(row["node_id"]))
        self._session.connection().execute(_BEAT, rows)

    def generation(self, node_id: NodeId) -> int:
        """The generation of the node's assignment list; 0 for a node that is gone."""
        return self._session.scalar(_GENERATION, {"id": node_id}) or 0

    def launched_by(self, launcher: str) -> Sequence[Node]:
        """Nodes whose processes this launcher owns."""
        mine = select(Node).where(Node.launcher == launcher).order_by(Node.id)
        return self._session.scalars(mine).all()

    def bump_generation(self, node_ids: Collection[NodeId]) -> None:
        """Says that the assignment lists of these nodes changed."""
        if node_ids:
            self._session.execute(
                update(Node)
                .where(Node.id.in_(tuple(node_ids)))
                .values(generation=Node.generation + 1)
            )
            self._hints.update(node_topic(node_id) for node_id in node_ids)

    def take(self, versions: Mapping[NodeId, int]) -> Set[NodeId]:
        """Raises the versions of the nodes that still are at these, and says which they are. For
        serial transactions: nobody else changes a version meanwhile.
        """
        rows = self._session.execute(select(Node.id, Node.version).where(Node.id.in_(versions)))
        same = {node_id for node_id, version in rows if versions[node_id] == version}
        if same:
            raised = update(Node).where(Node.id.in_(same)).values(version=Node.version + 1)
            self._session.execute(raised)
        return same


class Chips(Repository[Chip, ChipId]):
    """Chips by id, node and type."""

    model = Chip

    def page_of(
        self, limit: int, cursor: str | None, retired: bool, **columns: str | None
    ) -> Slice[Chip]:
        """Chips present now; `columns` (node_id, type, vendor) filter where they are not None, and
        chips of retired nodes are among them where `retired` says so.
        """
        query = self._where(**columns).where(Chip.present)
        if not retired:
            out = select(Node.id).where(Node.intent == NodeIntent.RETIRED)
            query = query.where(Chip.node_id.not_in(out))
        return self._page(query, limit, cursor, retired, sorted(columns.items()))

    def present(self, node_ids: Collection[NodeId] | None = None) -> Sequence[Chip]:
        """Chips present now, of these nodes or of all."""
        query = select(Chip).where(Chip.present).order_by(Chip.node_id, Chip.type, Chip.index)
        if node_ids is not None:
            query = query.where(Chip.node_id.in_(tuple(node_ids)))
        return self._session.scalars(query).all()

    def plain(self, node_ids: Collection[NodeId] | None) -> Sequence[PlainChip]:
        """Chips present now, of these nodes or of all, as plain values."""
        columns: tuple[Any, ...] = (
            Chip.id,
            Chip.node_id,
            Chip.index,
            Chip.type,
            Chip.vendor,
            Chip.memory_bytes,
            Chip.cores_milli,
            Chip.emulated,
            Chip.health,
            Chip.report,
        )
        query = select(*columns).where(Chip.present)
        if node_ids is not None:
            query = query.where(Chip.node_id.in_(tuple(node_ids)))
        rows = self._session.execute(query.order_by(Chip.node_id, Chip.type, Chip.index))
        return [PlainChip(*row) for row in rows]

    def sampled(self, node_ids: Collection[NodeId]) -> dict[tuple[NodeId, str], Sampled]:
        """Every chip that these nodes ever reported, by node and key."""
        rows = [Sampled(*row) for row in self._session.execute(_SAMPLED, {"ids": node_ids})]
        return {(row.node_id, row.key): row for row in rows}

    def sample(self, samples: Mapping[ChipId, Json]) -> None:
        """Keeps the last reading of each chip's use."""
        rows = [{"chip_id": key, "read": samples[key]} for key in sorted(samples)]
        if rows:
            self._session.connection().execute(_SAMPLE, rows)

    def known(self, node_id: NodeId) -> dict[str, Chip]:
        """Every chip the node ever reported, by key."""
        return {row.key: row for row in self._session.scalars(self._where(node_id=node_id))}

    def vendors_of(self, chip_type: str) -> Sequence[str]:
        """Whose chips of that type a node ever reported."""
        query = select(Chip.vendor).where(Chip.type == chip_type).distinct()
        return self._session.scalars(query).all()

    def types(self) -> Sequence[str]:
        """Every type that a node ever reported, whether its chips are present or not."""
        return self._session.scalars(select(Chip.type).distinct().order_by(Chip.type)).all()
