"""Emulated chips: real processes on declared limits, standing for a type of another vendor.

What each type declares is in the vendor table; enforcing it on the processes is the runtime's.
They are of vendor `emulated`, so a job that asks for the vendor they stand for never lands here.
"""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Final

from agents.node.chips.base import ChipContext, ChipProvider, HeldUse, ProbeError, ProbeResult
from penstock.api.chips import ChipReport, ChipSample, Rate
from penstock.api.states import ChipHealth
from penstock.api.vendors import EmulatedType

VENDOR: Final = "emulated"
MAX_CHIPS: Final = 100_000


class InvalidFleet(ProbeError, ValueError):
    """The fleet that was asked for is written wrongly or names a type that is not known."""


def provider(context: ChipContext) -> ChipProvider:
    return EmulatedProvider(context)


def parse_fleet(text: str, types: Mapping[str, EmulatedType]) -> tuple[str, ...]:
    """One type per chip from `TYPE:COUNT,TYPE:COUNT`, in that order; raises InvalidFleet."""
    found: list[str] = []
    for part in filter(None, (it.strip() for it in text.split(","))):
        match = re.fullmatch(r"([a-z0-9.-]+)(?::(\d{1,6}))?", part)
        if match is None:
            raise InvalidFleet(f"`{part}` must be TYPE:COUNT, for example {_example(types)}")
        if match[1] not in types:
            raise InvalidFleet(_unknown_type(match[1], types))
        found += [match[1]] * int(match[2] or 1)
    if len(found) > MAX_CHIPS:
        raise InvalidFleet(f"{len(found)} chips are more than {MAX_CHIPS}")
    return tuple(found)


class EmulatedProvider:
    """The fleet of the settings. It is the same on every probe."""

    def __init__(self, context: ChipContext) -> None:
        self._context = context
        self._types = context.vendors[VENDOR].types
        self._chips: tuple[ChipReport, ...] = ()
        self._read_at: float | None = None
        self._last: dict[tuple[str, str], float] = {}

    def probe(self) -> ProbeResult:
        fleet = parse_fleet(self._context.emulated, self._types)
        ordinals = {name: itertools.count() for name in fleet}
        self._chips = tuple(
            self._report(index, next(ordinals[name]), name) for index, name in enumerate(fleet)
        )
        return ProbeResult(self._chips)

    def sample(self) -> Sequence[ChipSample]:
        """Utilisation is the holders' CPU time since the last reading, per core granted."""
        now = self._context.clock()
        elapsed_s = None if self._read_at is None else now - self._read_at
        held = self._context.use() if self._context.use is not None else None
        samples = [self._sample(it, elapsed_s, held) for it in self._chips]
        self._read_at = now
        self._last = {
            (key, it.replica_id): it.cpu_s
            for key, uses in (held or {}).items()
            for it in uses
            if it.cpu_s is not None
        }
        return samples

    def holders(self) -> Mapping[str, tuple[int, ...]]:
        """Only replicas can be on a chip that exists in their limits alone."""
        return {}

    def _report(self, index: int, ordinal: int, name: str) -> ChipReport:
        declared = self._types[name]
        return ChipReport(
            key=f"{name}-{ordinal}",
            vendor=VENDOR,
            type=name,
            index=index,
            memory_bytes=declared.memory,
            cores_milli=declared.cores_milli,
            dtypes=declared.dtypes,
            health=ChipHealth.HEALTHY,
            health_message=f"Emulated on this host's cores; stands for {declared.stands_for}.",
            emulated=True,
            stands_for=declared.stands_for,
            link_bytes_per_s=declared.link_bytes_per_s,
            rates={
                "speed": Rate(value=declared.cores_milli / 1000, unit="cores", origin="declared"),
                "link": Rate(value=declared.link_bytes_per_s, unit="B/s", origin="declared"),
            },
        )

    def _sample(
        self,
        chip: ChipReport,
        elapsed_s: float | None,
        held: Mapping[str, Sequence[HeldUse]] | None,
    ) -> ChipSample:
        uses = None if held is None else held.get(chip.key, ())
        return ChipSample(
            key=chip.key,
            utilization_ratio=self._utilization(chip, elapsed_s, uses),
            memory_used_bytes=_memory(uses),
            health=ChipHealth.HEALTHY,
        )

    def _utilization(
        self, chip: ChipReport, elapsed_s: float | None, uses: Sequence[HeldUse] | None
    ) -> float | None:
        """None without a reading before; 0 is the true figure of a chip that nothing holds."""
        if uses is None or not elapsed_s or elapsed_s < 0:
            return None
        used_s = 0.0
        for use in uses:
            if use.cpu_s is None:
                return None
            used_s += max(0.0, use.cpu_s - self._last.get((chip.key, use.replica_id), 0.0))
        return min(1.0, used_s / (elapsed_s * chip.cores_milli / 1000))


def _memory(uses: Sequence[HeldUse] | None) -> int | None:
    figures = None if uses is None else [use.memory_bytes for use in uses]
    if figures is None or None in figures:
        return None
    return sum(figure for figure in figures if figure is not None)


def _unknown_type(name: str, types: Mapping[str, EmulatedType]) -> str:
    near = difflib.get_close_matches(name, types, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    return f"`{name}` is no emulated chip type.{hint} Known: {', '.join(sorted(types))}"


def _example(types: Mapping[str, EmulatedType]) -> str:
    return f"{min(types, default='TYPE')}:2"
