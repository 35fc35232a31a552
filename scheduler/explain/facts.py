"""What explanations need to know of a pool: chips by type, what they are like, closed nodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from scheduler.explain.reason import Reason
from scheduler.explain.wording import listed, size
from scheduler.model import Chip, Code, Gang, Node, Snapshot
from scheduler.place.feasibility import Survey, matches
from scheduler.place.gang import Supply, empty_supply
from scheduler.snapshot.columns import Layout, columns_of


class Facts:
    """One snapshot, counted once for all the gangs that are explained by it."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.layout = columns_of(snapshot).layout
        self.empty = empty_supply(self.layout, snapshot.speeds)
        self.chips: Mapping[str, int] = Counter(chip.type for chip in self.layout.chips)
        self.makes: Mapping[str, Chip] = {chip.type: chip for chip in reversed(self.layout.makes)}

    def if_nodes_were(self, nodes: tuple[Node, ...]) -> Supply:
        """Such a pool as if nothing ran on it."""
        return empty_supply(Layout(nodes), self.snapshot.speeds)

    def left(self, reason: Reason, *codes: Code) -> dict[str, int]:
        """Chip type → chips that these constraints left in the pool."""
        left = Counter(self.chips)
        for code in codes:
            left.subtract(reason.removed.get(code, {}))
        return {name: count for name, count in sorted(left.items()) if count > 0}

    def nodes_under(self, gang: Gang, code: Code) -> list[tuple[Node, dict[str, int]]]:
        """Nodes whose chips this constraint of the pipeline removes for the gang, with them."""
        by_node: dict[int, Counter[str]] = {}
        for row in Survey(gang, self.layout, self.snapshot.vendors).rows(code):
            site = int(self.layout.site_of_row[row])
            by_node.setdefault(site, Counter())[self.layout.chips[row].type] += 1
        if not gang.request.chips:
            for at, home in enumerate(self.layout.sites):
                if home.node.closed is not None and home.node.closed.value == code.value:
                    by_node.setdefault(at, Counter())
        found = [(self.layout.sites[at].node, dict(chips)) for at, chips in by_node.items()]
        return sorted(found, key=lambda it: (it[0].name, it[0].id))

    def most_together(self, gang: Gang) -> int:
        """Most chips of one type on one node that the wish means."""
        counts = Counter(
            (chip.node_id, chip.type)
            for chip in self.layout.chips
            if any(matches(chip, word) for word in gang.request.wish)
        )
        return max(counts.values(), default=0)

    def too_small(self, gang: Gang) -> str:
        """The chips that have too little memory for the gang, with what they have."""
        survey = Survey(gang, self.layout, self.snapshot.vendors)
        counts = Counter(
            (chip.type, -1 if chip.memory_bytes is None else chip.memory_bytes)
            for chip in map(self.layout.chips.__getitem__, survey.rows(Code.MEMORY))
        )
        return ", ".join(
            f"{count} {name} ({'unknown' if memory < 0 else size(memory)})"
            for (name, memory), count in sorted(counts.items())
        )


def on_nodes(nodes: list[tuple[Node, dict[str, int]]]) -> str:
    """`node a`, `nodes a and b`."""
    names = listed(node.name for node, _ in nodes)
    return f"node{'s' if len(nodes) > 1 else ''} {names}"
