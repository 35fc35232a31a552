"""Quantities as people read them in tables. No clock: `now` is an argument."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final

_PREFIXED: Final = ("FLOP/s", "B/s")
_RATE: Final = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?(?:e\+?\d{1,3})?) (FLOP/s|B/s|tokens/s)")


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


def thousandths(milli: int | None) -> str:
    """Thousandths of a chip or a core as what they are parts of: `0.5`."""
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


def quantity(value: float, unit: str) -> str:
    """`44.7 GFLOP/s`, `13,570 tokens/s`: no exponents. Prefixes where the unit takes them."""
    if unit not in _PREFIXED:
        return f"{value:,.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"
    for prefix in ("", "k", "M", "G", "T"):
        if value < 999.5:
            return f"{value:.3g} {prefix}{unit}"
        value /= 1000
    return f"{value:,.3f}".rstrip("0").rstrip(".") + f" P{unit}"


def without_exponents(text: str) -> str:
    """A sentence whose rates are written as `quantity` writes them."""
    return _RATE.sub(lambda match: quantity(float(match[1]), match[2]), text)
