"""What explanations need to know of a pool: chips by type, what they are like, closed nodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from scheduler.explain.wording import listed, size
from scheduler.model import Chip, Code, Gang, Node, Reason, Snapshot
from scheduler.place.feasibility import matches, obstacle
from scheduler.snapshot.overlays import Index, Pool, all_free


class Facts:
    """One snapshot, counted once for all the gangs that are explained by it."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.index = Index(snapshot)
        self.empty: Pool = all_free(self.index)
        self.chips: Mapping[str, int] = Counter(
            chip.type for node in self.index.nodes for chip in node.chips
        )
        self.makes: Mapping[str, Chip] = {
            chip.type: chip for node in reversed(self.index.nodes) for chip in node.chips
        }

    def left(self, reason: Reason, *codes: Code) -> dict[str, int]:
        """Chip type → chips that these constraints left in the pool."""
        left = Counter(self.chips)
        for code in codes:
            left.subtract(reason.removed.get(code, {}))
        return {name: count for name, count in sorted(left.items()) if count > 0}

    def nodes_under(self, gang: Gang, code: Code) -> list[tuple[Node, dict[str, int]]]:
        """Nodes whose chips this constraint of the pipeline removes for the gang, with them."""
        found = []
        for node in self.index.nodes:
            chips = Counter(
                chip.type
                for chip in node.chips
                if obstacle(chip, node, gang.request, self.snapshot.vendors) is code
            )
            closed_by = node.closed is not None and node.closed.value == code.value
            if chips or (closed_by and not gang.request.chips):
                found.append((node, dict(chips)))
        return sorted(found, key=lambda it: (it[0].name, it[0].id))

    def most_together(self, gang: Gang) -> int:
        """Most chips of one type on one node that the wish means."""
        counts = Counter(
            (node.id, chip.type)
            for node in self.index.nodes
            for chip in node.chips
            if any(matches(chip, word) for word in gang.request.wish)
        )
        return max(counts.values(), default=0)

    def too_small(self, gang: Gang) -> str:
        """The chips that have too little memory for the gang, with what they have."""
        counts = Counter(
            (chip.type, -1 if chip.memory_bytes is None else chip.memory_bytes)
            for node in self.index.nodes
            for chip in node.chips
            if obstacle(chip, node, gang.request, self.snapshot.vendors) is Code.MEMORY
        )
        return ", ".join(
            f"{count} {name} ({'unknown' if memory < 0 else size(memory)})"
            for (name, memory), count in sorted(counts.items())
        )


def on_nodes(nodes: list[tuple[Node, dict[str, int]]]) -> str:
    """`node a`, `nodes a and b`."""
    names = listed(node.name for node, _ in nodes)
    return f"node{'s' if len(nodes) > 1 else ''} {names}"
