"""Whether the control plane can do its work, part by part."""

from __future__ import annotations

from pydantic import Field

from penstock.api.base import View


class About(View):
    """What answers here, and where to go on."""

    name: str = "penstock"
    version: str
    docs: str = Field(description="where the manual is")
    links: dict[str, str] = Field(description="paths on this server")


class Alive(View):
    """The process answers."""

    status: str = "ok"
    version: str


class Part(View):
    """One part that the control plane needs."""

    ok: bool
    message: str


class Readiness(View):
    """The control plane does its work. When a part that it cannot work without is not well, the
    answer is a problem that names it.
    """

    status: str = Field(
        default="ready", description="ready, or degraded: logs and checkpoints wait for the storage"
    )
    parts: dict[str, Part] = Field(description="database, migrations, scheduler, storage")
