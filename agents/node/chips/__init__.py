"""Finds the chip providers by listing this folder and keeps their failures apart.

What a vendor's chips are is left to the vendors' files; how often to ask, to the agent.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Final

from agents.node.chips.base import (
    ChipContext,
    ChipProvider,
    ChipUse,
    Dropped,
    ProbeError,
    ProbeResult,
)
from agents.node.hardware.isolation import Failure, Isolated
from penstock.api.chips import ChipReport, ChipSample
from penstock.api.vendors import vendor_table

NOT_PROVIDERS: Final = frozenset({"__init__", "base"})
EXPECTED: Final = (ProbeError, OSError, ImportError, LookupError)
PROBE_TIMEOUT_S: Final = 60.0
SAMPLE_TIMEOUT_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class Providers:
    """The providers of this node by vendor, and the provider files that could not be used."""

    by_vendor: Mapping[str, Isolated[ChipProvider]]
    dropped: tuple[Dropped, ...] = ()


def host_context(
    state_dir: Path, emulated: str = "", use: ChipUse | None = None, measure: bool = True
) -> ChipContext:
    """The context of the machine we run on, with the shipped vendor table."""
    affinity = getattr(os, "sched_getaffinity", None)
    return ChipContext(
        vendors=vendor_table(),
        state_dir=state_dir,
        emulated=emulated,
        allowed_cpus=None if affinity is None else frozenset(affinity(0)),
        use=use,
        measure=measure,
    )


def load(
    context: ChipContext, folder: Path = Path(__file__).parent, skip: Collection[str] = ()
) -> Providers:
    """Imports every provider file of the folder. Never raises for a provider's own fault."""
    by_vendor: dict[str, Isolated[ChipProvider]] = {}
    dropped: list[Dropped] = []
    for key in sorted(path.stem for path in folder.glob("*.py")):
        if key in NOT_PROVIDERS or key in skip:
            continue
        made = Isolated.build(key, partial(_provider, key, context), EXPECTED)
        if isinstance(made, Failure):
            dropped.append(Dropped(key, "", made.reason))
        else:
            by_vendor[key] = made
    return Providers(by_vendor, tuple(dropped))


def probe(providers: Providers) -> ProbeResult:
    """The chips of all vendors. A vendor that fails or hangs is dropped with its reason."""
    chips: list[ChipReport] = []
    dropped = list(providers.dropped)
    for vendor, provider in providers.by_vendor.items():
        found = provider.call(lambda it: it.probe(), PROBE_TIMEOUT_S)
        if isinstance(found, Failure):
            dropped.append(Dropped(vendor, "", found.reason))
        else:
            chips.extend(found.chips)
            dropped.extend(found.dropped)
    return ProbeResult(tuple(chips), tuple(dropped))


def sample(providers: Providers) -> tuple[ChipSample, ...]:
    """One reading of every chip that answers in time. May take seconds: call it off the loop."""
    samples: list[ChipSample] = []
    for provider in providers.by_vendor.values():
        read = provider.call(lambda it: tuple(it.sample()), SAMPLE_TIMEOUT_S)
        if not isinstance(read, Failure):
            samples.extend(read)
    return tuple(samples)


def holders(providers: Providers) -> dict[str, tuple[int, ...]]:
    """Process ids on each chip, by chip key; chips that cannot tell are left out."""
    found: dict[str, tuple[int, ...]] = {}
    for provider in providers.by_vendor.values():
        read = provider.call(lambda it: it.holders(), SAMPLE_TIMEOUT_S)
        if not isinstance(read, Failure):
            found.update(read)
    return found


def _provider(key: str, context: ChipContext) -> ChipProvider:
    if key not in context.vendors:
        raise LookupError(f"agents/node/chips/{key}.py has no row [{key}] in the vendor table")
    make: Callable[[ChipContext], ChipProvider] = import_module(f"{__name__}.{key}").provider
    return make(context)
