"""Quantities as people read them in tables. No clock: `now` is an argument."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime


def duration(seconds: float | None) -> str:
    """`0.4s`, `12s`, `3m20s`, `5h`, `2d`; a dash for what is not known."""
    if seconds is None:
        return "-"
    if seconds < 10:
        return f"{max(seconds, 0):.1f}s"
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02d}h"


def age(timestamp: str | None, now: datetime) -> str:
    """How long ago an RFC 3339 time was."""
    if not timestamp:
        return "-"
    return duration((now - datetime.fromisoformat(timestamp)).total_seconds())


def size(num_bytes: float | None) -> str:
    """Bytes in binary units, `16GiB`."""
    if num_bytes is None:
        return "-"
    value = float(num_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.4g}{unit}"
        value /= 1024
    return f"{value:.4g}TiB"


def cores(milli: int | None) -> str:
    """Thousandths of a core as cores."""
    return "-" if milli is None else f"{milli / 1000:g}"


def counts(values: Mapping[str, float]) -> str:
    """`cpu:1,emulated-a100:2`, sorted; a dash for none."""
    return ",".join(f"{name}:{value:g}" for name, value in sorted(values.items())) or "-"


def held(chips: list[Mapping[str, object]]) -> str:
    """Chips per type that a job or replica holds; parts of a chip as fractions."""
    totals: dict[str, float] = {}
    for chip in chips:
        milli = chip.get("milli")
        share = milli / 1000 if isinstance(milli, int) else 1.0
        totals[str(chip["type"])] = totals.get(str(chip["type"]), 0.0) + share
    return counts(totals)


def number(value: float | None, digits: int = 4) -> str:
    return "-" if value is None else f"{value:.{digits}g}"
