"""What is known of speeds: numbers with their origin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Rate:
    """A speed with where the number came from: datasheet, declared, conformance, observed, …"""

    value: float
    origin: str


@dataclass(frozen=True, slots=True)
class Speeds:
    """The throughput model as the cycle reads it."""

    measured: Mapping[str, Mapping[str, Rate]] = field(default_factory=dict)
    """Work class → chip type → tokens/s of one whole chip, of that class or of the nearest."""
    rates: Mapping[str, Mapping[str, Rate]] = field(default_factory=dict)
    """Chip type → `flops.<dtype>` in FLOP/s, `memory` in B/s, `speed` as declared."""
