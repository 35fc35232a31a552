"""What is known of a chip: its identity, its declared and its measured capability."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from penstock.api.base import Stateful, Strict, View
from penstock.api.ids import ChipId, SpeedId
from penstock.api.states import ChipHealth
from penstock.api.work import Phase
from penstock.safe_text import one_line

Origin = Literal["datasheet", "declared", "conformance", "profile", "observed"]
Text = Annotated[str, Field(max_length=128)]
Word = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,127}$", max_length=128)]


def _cut(value: object) -> object:
    """What drivers say is cut rather than refused."""
    return one_line(value, 1000) if isinstance(value, str) else value


class Rate(Strict):
    """One speed with where the number came from. A rate without an origin does not exist."""

    value: float = Field(ge=0, le=1e24)
    unit: Text = Field(description="FLOP/s, B/s, tokens/s")
    origin: Origin
    measured_at: datetime | None = None


class ChipReport(Strict):
    """One chip as its node's agent sees it. What could not be read is null, never 0 or guessed."""

    key: str = Field(min_length=1, max_length=128, description="stable identity on the node")
    vendor: Word
    type: Word = Field(description="chip type, for example `emulated-a100`")
    index: int = Field(ge=0, lt=65536)
    physical_id: int | None = Field(default=None, ge=-1, lt=2**31)
    minor: int | None = Field(default=None, ge=-1, lt=2**31)
    pci_address: Text | None = None
    uuid: Text | None = None
    memory_bytes: int | None = Field(default=None, ge=0, le=2**44)
    cores_milli: int = Field(
        default=0,
        ge=0,
        le=16_384_000,
        description="host core thousandths that the whole chip takes when leased",
    )
    dtypes: tuple[Text, ...] = Field(default=(), max_length=64)
    health: ChipHealth = ChipHealth.UNKNOWN
    health_message: Annotated[str, BeforeValidator(_cut)] = ""
    driver_version: Text | None = None
    emulated: bool = False
    stands_for: Text | None = Field(default=None, description="the type an emulated chip imitates")
    link_bytes_per_s: float | None = Field(default=None, ge=0, le=1e18)
    rates: dict[Text, Rate] = Field(
        default_factory=dict, max_length=64, description="keys: flops.<dtype>, memory, link, speed"
    )


class ChipSample(Strict):
    """One reading of a chip's use. Unknown is null."""

    key: str
    utilization_ratio: float | None = None
    memory_used_bytes: int | None = None
    temperature_celsius: float | None = None
    power_watts: float | None = None
    health: ChipHealth = ChipHealth.UNKNOWN


class Speed(View):
    """How fast one whole chip of a type does one class of work, and who says so."""

    id: SpeedId
    chip_type: str
    work_class: str = Field(
        description="kind/phase/model/dtype/configuration/members/batch; `-`, m0, b0: not known"
    )
    phase: Phase | None = Field(default=None, description="null: a class that is not one of ours")
    model: str = ""
    configuration: str = Field(description="chips that one replica held when it was measured")
    value: float
    unit: str
    origin: Origin
    num_samples: int
    updated_at: datetime


class Chip(View):
    """A chip as the API shows it."""

    id: ChipId
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
    speeds: list[Speed] = Field(
        default_factory=list, description="of its type; only where one chip is asked for"
    )


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


__all__ = ["Chip", "ChipReport", "ChipSample", "ChipType", "Origin", "Rate", "Speed", "Stateful"]
