"""Writes docs/guides/configuration.md out of the fields of the three Settings classes.

Run `python deploy/docs/configuration.py > docs/guides/configuration.md` after a change; a test
holds the page equal to what this prints.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from agents.settings import Settings as AgentSettings
from control_plane.settings import Settings as ServerSettings
from workloads.settings import Settings as WorkloadSettings

HEAD = """# Configuration

Made from the code: `python deploy/docs/configuration.py > docs/guides/configuration.md`.

Every process reads its settings once at its start. `penstock up` sets what one machine needs.
"""
PARTS: tuple[tuple[str, str, type[BaseModel], str], ...] = (
    ("Control plane", "`python -m control_plane serve`", ServerSettings, "PENSTOCK_SERVER_"),
    ("Node agent", "`python -m agents`", AgentSettings, "PENSTOCK_AGENT_"),
)


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *(_part(*part) for part in PARTS), _contract()])


def _part(title: str, command: str, settings: type[BaseModel], prefix: str) -> str:
    rows = [
        f"| `{prefix}{name.upper()}` | {_default(field)} | {field.description or ''} |"
        for name, field in sorted(settings.model_fields.items())
        if name != "inherited"
    ]
    head = f"## {title}\n\n{command}\n\n| Variable | Default | Meaning |\n|---|---|---|"
    return "\n".join([head, *rows, ""])


def _contract() -> str:
    rows = [f"| {name} | {field.description or ''} |" for name, field in _described()]
    head = (
        "## Replicas\n\nSet by the agent for every replica, Penstock's engine or any command."
        "\n\n| What | Variable |\n|---|---|"
    )
    return "\n".join([head, *rows, ""])


def _described() -> Iterable[tuple[str, FieldInfo]]:
    fields = WorkloadSettings.model_fields.items()
    return [(name, field) for name, field in fields if field.description]


def _default(field: FieldInfo) -> str:
    value: Any = field.default
    if value is PydanticUndefined:
        return ""
    text = ",".join(value) if isinstance(value, tuple) else str(value)
    if value is None or text == "" or "/" in text:
        return ""  # nothing, or a place that differs from machine to machine
    return f"`{text}`"


if __name__ == "__main__":
    sys.stdout.write(page())
