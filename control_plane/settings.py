"""All settings of the control plane, read once in `main.py` and passed down as values."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from penstock.addresses import is_loopback
from penstock.api.ids import URL_PATTERN

Part = Literal["api", "scheduler", "worker"]


class Settings(BaseSettings):
    """Environment variables have the prefix PENSTOCK_SERVER_."""

    model_config = SettingsConfigDict(env_prefix="PENSTOCK_SERVER_", extra="ignore")

    home: Path = Field(default=Path("~/.penstock"), description="database, storage and tokens")
    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: int = Field(default=8470, ge=0, le=65535, description="0: any free one")
    public_url: str | None = Field(
        default=None,
        pattern=URL_PATTERN,
        description="address by which nodes reach this server, for the commands it hands out, "
        "for example behind a proxy; default: as it was asked",
    )
    database_url: str | None = Field(
        default=None, description="default: SQLite in home; postgresql+psycopg://… in production"
    )
    storage: str | None = Field(
        default=None, description="fsspec URI for logs, checkpoints and artefacts; default: in home"
    )
    redis_url: str | None = Field(
        default=None, description="Celery broker and hints between processes; default: in process"
    )
    auth: bool = Field(default=True, description="off: every caller is an administrator")
    parts: Annotated[tuple[Part, ...], NoDecode] = Field(
        default=("api", "scheduler", "worker"),
        description="what this process does: api,scheduler,worker; every process answers HTTP",
    )
    sweep_s: float | None = Field(
        default=None, gt=0, description="default: 1 s embedded, 10 s with a database server"
    )
    heartbeat_s: float = Field(default=5.0, gt=0, description="between a node's heartbeats")
    suspect_after_s: float = Field(
        default=15.0, gt=0, description="silence after which a node gets nothing new"
    )
    lost_after_s: float = Field(
        default=60.0, gt=0, description="silence after which a node counts as lost"
    )
    leader_ttl_s: float = Field(
        default=6.0,
        gt=0,
        description="term of the scheduler's leader: a standby leads after so long without a sign "
        "of it, and a third more at most",
    )
    retention_days: float = Field(
        default=30.0, gt=0, description="how long cycles, events and logs of ended jobs are kept"
    )
    log_keep_bytes: int = Field(
        default=16 << 30,
        ge=2 << 20,
        description="newest output of one replica that is kept; what is older is left out",
    )
    webhook_allow_private: bool = Field(
        default=False, description="let webhooks reach private and loopback addresses"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="least severity that is logged"
    )

    @field_validator("parts", mode="before")
    @classmethod
    def _list_of_parts(cls, value: object) -> object:
        return tuple(filter(None, value.split(","))) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _no_public_bind_without_auth(self) -> Self:
        if not self.auth and not is_loopback(self.host):
            raise ValueError(
                f"refusing to listen on {self.host} without authentication: leave auth on, "
                "or listen on 127.0.0.1"
            )
        return self

    @property
    def home_dir(self) -> Path:
        return self.home.expanduser().resolve()

    @property
    def database(self) -> str:
        return self.database_url or f"sqlite:///{self.home_dir / 'penstock.db'}"

    @property
    def storage_uri(self) -> str:
        return self.storage or (self.home_dir / "storage").as_uri()

    @property
    def sweep(self) -> float:
        return self.sweep_s or (1.0 if self.database.startswith("sqlite") else 10.0)


def load_settings(
    home: str | None, host: str | None, port: int | None, auth: bool | None
) -> Settings:
    """The environment's settings with what the command line says instead."""
    given = {"home": home, "host": host, "port": port, "auth": auth}
    return Settings(**{key: value for key, value in given.items() if value is not None})  # type: ignore[arg-type]
