"""The vendor table: facts about chip vendors as data, read from `vendors.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field

from penstock.api.base import Strict
from penstock.api.quantities import MemoryBytes


class EmulatedType(Strict):
    """A chip type that the emulator can present, with its declared limits."""

    stands_for: str
    cores_milli: int = Field(gt=0, description="host core thousandths, enforced")
    memory: MemoryBytes
    link_bytes_per_s: float = Field(gt=0)
    dtypes: tuple[str, ...]


class Vendor(Strict):
    """One row of the table. Empty where the vendor has no such thing or it is not known."""

    title: str
    pci_ids: tuple[str, ...] = Field(default=(), description="PCI vendor ids, lower-case hex")
    pci_classes: tuple[str, ...] = Field(
        default=("02", "03", "0b", "12"),
        description="PCI base classes that count; fewer where the vendor also makes other devices",
    )
    device_nodes: tuple[str, ...] = Field(default=(), description="patterns below /dev")
    kubernetes_resources: tuple[str, ...] = ()
    container_variable: str = ""
    visibility_variable: str = ""
    visibility_by: Literal["index", "uuid", "physical_id"] = Field(
        default="index", description="which number of a chip the visibility variable lists"
    )
    torch_device: str = ""
    collective_backend: str = ""
    backend: str = Field(
        default="", description="its folder in workloads/engine/kernels and key of its image"
    )
    tools: tuple[str, ...] = Field(default=(), description="command-line tools to look for")
    libraries: tuple[str, ...] = ()
    verified: bool = Field(default=False, description="run on its hardware by Penstock's makers")
    unverified_facts: tuple[str, ...] = Field(
        default=(), description="fields believed but not seen in a vendor's source"
    )
    types: Mapping[str, EmulatedType] = Field(default_factory=dict)

    @property
    def trains(self) -> bool:
        """Whether training runs on its chips: it does not move to devices yet, and would measure
        the host's processor in their place.
        """
        return self.torch_device == "cpu"


@cache
def vendor_table(path: Path | None = None) -> Mapping[str, Vendor]:
    """All vendors by key. `path` replaces the table that is shipped with the package."""
    source = path or Path(__file__).with_name("vendors.toml")
    rows = tomllib.loads(source.read_text(encoding="utf-8"))
    return {key: Vendor.model_validate(row) for key, row in rows.items()}
