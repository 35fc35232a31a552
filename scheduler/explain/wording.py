"""Words and numbers for people: counts, lists, sizes, and what a gang asks for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from scheduler.model import WHOLE, Gang, MemberRequest
from scheduler.snapshot.host import member_share

_UNITS: Final = ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))


def counted(chips: Mapping[str, int]) -> str:
    """`2 emulated-910b, 1 other`, by name."""
    return ", ".join(f"{count} {name}" for name, count in sorted(chips.items()) if count)


def plural(count: int | str, word: str) -> str:
    """`1 chip`, `2 chips`."""
    return f"{count} {word}" if str(count) == "1" else f"{count} {word}s"


def listed(words: Iterable[str], joiner: str = "and") -> str:
    """`a, b and c`."""
    *most, last = list(words) or [""]
    return f"{', '.join(most)} {joiner} {last}" if most else last


def thousandths(milli: int) -> str:
    """Chips or cores from thousandths: `2`, `0.5`."""
    return f"{milli / 1000:.3f}".rstrip("0").rstrip(".")


def size(num_bytes: int) -> str:
    """`16 GiB`, `1.5 GiB`, `300 B`."""
    for unit, name in _UNITS:
        if num_bytes >= unit:
            return f"{num_bytes / unit:.1f}".removesuffix(".0") + f" {name}"
    return f"{num_bytes} B"


def asked(gang: Gang, vendors: frozenset[str] = frozenset()) -> str:
    """`64 chips of type any`, `3 × 2 chips of type any`, `0.5 of a chip of vendor this`."""
    request, members = gang.request, gang.least
    atleast = "at least " if gang.most > gang.least else ""
    if not request.chips:
        return f"{atleast}{f'{members} × ' if members > 1 else ''}{_of_host(request)}"
    kind = "vendor" if set(request.wish) <= vendors else "type"
    wish = f"of {kind} {listed(request.wish, 'or')}"
    if request.milli == WHOLE and request.chips == 1:
        return f"{atleast}{plural(members, 'chip')} {wish}"
    part = f"{thousandths(request.milli)} of a chip"
    each = part if request.milli < WHOLE else plural(request.chips, "chip")
    times = f"{members} × " if members > 1 else ""
    return f"{atleast}{times}{each} {wish}"


def cores(milli: int) -> str:
    """`1 host core`, `0.5 host cores`."""
    return plural(thousandths(milli), "host core")


def demands(request: MemberRequest) -> str:
    """What else is asked of each chip: ` with at least 16 GiB each`, or nothing."""
    wants = []
    if request.memory_bytes is not None:
        wants.append(f"at least {size(request.memory_bytes)} each")
    if request.dtype is not None:
        wants.append(request.dtype)
    return f" with {listed(wants)}" if wants else ""


def _of_host(request: MemberRequest) -> str:
    """What a member without chips asks for: `1 host core and 1 GiB of memory`."""
    share = member_share((), (), request)
    return f"{cores(share.cores_milli)} and {size(share.memory_bytes)} of memory"
