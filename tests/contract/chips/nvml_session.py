"""A process that holds the NVML provider and answers one line per question on standard input."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import structlog

from agents.node import chips
from agents.node.chips.base import ChipContext
from penstock.api.vendors import vendor_table
from tests.host_tree import HostTree


def main(root: Path) -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    tree = HostTree(root)
    context = ChipContext(vendor_table(), tree.root / "state", roots=tree.roots, measure=False)
    every = chips.load(context)
    providers = chips.Providers({"nvidia": every.by_vendor["nvidia"]})
    for question in sys.stdin:
        print(json.dumps(_answer(providers, question.strip())), flush=True)


def _answer(providers: chips.Providers, question: str) -> dict[str, object]:
    if question == "probe":
        found = chips.probe(providers)
        reports = [it.model_dump(mode="json") for it in found.chips]
        return {"chips": reports, "dropped": [str(it) for it in found.dropped]}
    if question == "sample":
        return {"samples": [it.model_dump(mode="json") for it in chips.sample(providers)]}
    return {"holders": chips.holders(providers)}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
