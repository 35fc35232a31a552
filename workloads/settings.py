"""The process contract of a replica, read once from its environment. Acting on it is others' work.

A node's agent sets these variables for every replica that it starts.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator

from penstock.api.assignments import AssignedChip
from penstock.json_types import Json


class Settings(BaseModel):
    """What a replica is told about itself. Field descriptions name the variables."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    job_id: str = Field(default="job_local", description="PENSTOCK_JOB_ID")
    job_name: str = Field(default="local", description="PENSTOCK_JOB_NAME")
    project: str = Field(default="default", description="PENSTOCK_PROJECT")
    replica_id: str = Field(default="replica_local", description="PENSTOCK_REPLICA_ID")
    epoch: int = Field(default=1, ge=0, description="PENSTOCK_EPOCH: number of the attempt")
    rank: int = Field(default=0, ge=0, description="RANK")
    world_size: int = Field(default=1, ge=1, description="WORLD_SIZE")
    master_addr: str = Field(default="127.0.0.1", description="MASTER_ADDR: host of rank 0")
    master_port: int = Field(default=0, ge=0, le=65535, description="MASTER_PORT")
    host: str = Field(default="127.0.0.1", description="PENSTOCK_HOST: where others reach it")
    port: int = Field(default=0, ge=0, le=65535, description="PENSTOCK_PORT: reserved for it")
    chips: tuple[AssignedChip, ...] = Field(default=(), description="PENSTOCK_CHIPS, JSON")
    storage: str = Field(description="PENSTOCK_STORAGE: fsspec URI of the job's own folder")
    agent_socket: Path | None = Field(default=None, description="PENSTOCK_AGENT_SOCKET")
    agent_token: str = Field(default="", repr=False, description="PENSTOCK_AGENT_TOKEN")
    work: Json = Field(default_factory=dict, description="from file PENSTOCK_WORK")
    cache_dir: Path | None = Field(
        default=None, description="PENSTOCK_CACHE_DIR: tokenised data are kept here between jobs"
    )

    @field_validator("chips", mode="before")
    @classmethod
    def _json(cls, value: object) -> object:
        return json.loads(value) if isinstance(value, str) else value

    @property
    def chip_type(self) -> str:
        """The type of the first chip held, `cpu` where none was assigned."""
        return self.chips[0].type if self.chips else "cpu"

    @property
    def link_bytes_per_s(self) -> float | None:
        """The declared limit of this rank's link where an emulated chip has one, else null."""
        limits = [chip.link_bytes_per_s for chip in self.chips if chip.emulated]
        return min((limit for limit in limits if limit), default=None)


def process_settings() -> Settings:
    """Settings of this process; raises OSError or ValueError where they cannot be had."""
    return read_settings(os.environ)


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Settings from the process's environment; raises ValueError for what does not fit.

    The work document is read from the file that PENSTOCK_WORK names.
    """
    values: dict[str, object] = {
        name: environ[variable]
        for name, variable in _VARIABLES.items()
        if environ.get(variable, "") != ""
    }
    if work_path := environ.get("PENSTOCK_WORK"):
        document = json.loads(Path(work_path).read_text(encoding="utf-8"))
        values["work"] = document.get("work", {})
    if "cache_dir" not in values and (home := environ.get("HOME")):
        values["cache_dir"] = Path(home) / ".cache" / "penstock"
    return Settings.model_validate(values)


_VARIABLES: Mapping[str, str] = {
    "job_id": "PENSTOCK_JOB_ID",
    "job_name": "PENSTOCK_JOB_NAME",
    "project": "PENSTOCK_PROJECT",
    "replica_id": "PENSTOCK_REPLICA_ID",
    "epoch": "PENSTOCK_EPOCH",
    "rank": "RANK",
    "world_size": "WORLD_SIZE",
    "master_addr": "MASTER_ADDR",
    "master_port": "MASTER_PORT",
    "host": "PENSTOCK_HOST",
    "port": "PENSTOCK_PORT",
    "chips": "PENSTOCK_CHIPS",
    "storage": "PENSTOCK_STORAGE",
    "agent_socket": "PENSTOCK_AGENT_SOCKET",
    "agent_token": "PENSTOCK_AGENT_TOKEN",
    "cache_dir": "PENSTOCK_CACHE_DIR",
}
