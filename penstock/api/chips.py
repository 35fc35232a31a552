"""What is known of a chip: its identity, its declared and its measured capability."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from penstock.api.base import Stateful, Strict, View
from penstock.api.states import ChipHealth

Origin = Literal["datasheet", "declared", "conformance", "profile", "observed"]


class Rate(Strict):
    """One speed with where the number came from. A rate without an origin does not exist."""

    value: float = Field(ge=0)
    unit: str = Field(description="FLOP/s, B/s, tokens/s")
    origin: Origin
    measured_at: datetime | None = None


class ChipReport(Strict):
    """One chip as its node's agent sees it. What could not be read is null, never 0 or guessed."""

    key: str = Field(min_length=1, max_length=128, description="stable identity on the node")
    vendor: str
    type: str = Field(description="chip type, for example `emulated-a100`")
    index: int = Field(ge=0)
    physical_id: int | None = None
    minor: int | None = None
    pci_address: str | None = None
    uuid: str | None = None
    memory_bytes: int | None = Field(default=None, ge=0)
    cores_milli: int = Field(
        default=0, ge=0, description="host core thousandths that the whole chip takes when leased"
    )
    dtypes: tuple[str, ...] = ()
    health: ChipHealth = ChipHealth.UNKNOWN
    health_message: str = ""
    driver_version: str | None = None
    emulated: bool = False
    stands_for: str | None = Field(default=None, description="the type an emulated chip imitates")
    link_bytes_per_s: float | None = Field(default=None, ge=0)
    rates: dict[str, Rate] = Field(
        default_factory=dict, description="keys: flops.<dtype>, memory, link, speed"
    )


class ChipSample(Strict):
    """One reading of a chip's use. Unknown is null."""

    key: str
    utilization_ratio: float | None = None
    memory_used_bytes: int | None = None
    temperature_celsius: float | None = None
    power_watts: float | None = None
    health: ChipHealth = ChipHealth.UNKNOWN


class Chip(View):
    """A chip as the API shows it."""

    id: str
    node: str
    vendor: str
    type: str
    index: int
    physical_id: int | None = None
    minor: int | None = None
    pci_address: str | None = None
    uuid: str | None = None
    memory_bytes: int | None = None
    cores_milli: int = 0
    dtypes: list[str] = Field(default_factory=list)
    health: ChipHealth
    health_message: str = ""
    driver_version: str | None = None
    emulated: bool
    stands_for: str | None = None
    link_bytes_per_s: float | None = None
    rates: dict[str, Rate] = Field(default_factory=dict)
    free_milli: int = Field(description="thousandths of the chip that no lease holds")
    held_by: list[str] = Field(default_factory=list, description="names of the jobs holding it")
    sample: ChipSample | None = None


class ChipType(View):
    """All chips of one type in the pool."""

    type: str
    vendor: str
    emulated: bool
    stands_for: str | None = None
    total: int
    free_milli: int
    healthy: int
    memory_bytes: int | None = None
    dtypes: list[str] = Field(default_factory=list)
    rates: dict[str, Rate] = Field(default_factory=dict)
    verified: bool = Field(description="false: never run on its hardware by Penstock's makers")


__all__ = ["Chip", "ChipReport", "ChipSample", "ChipType", "Origin", "Rate", "Stateful"]
