"""Says what this node's agent found, what is missing and what to do about it.

It leaves nothing changed behind; showing the findings to people is also the client's.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import shutil
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from typing import Final, Literal, TextIO, cast

import structlog
from pydantic import ValidationError

from agents.assembly import recipe_of, separation_of
from agents.node import chips
from agents.node.chips.base import ChipContext, ProbeResult
from agents.node.hardware import host
from agents.node.hardware.host import Capacity
from agents.node.hardware.isolation import Failure, Isolated
from agents.node.hardware.pci import Presence, presence
from agents.runtimes.process.isolation import Isolation
from agents.runtimes.process.limits.limiter import detect
from agents.runtimes.process.runtime import STORAGE
from agents.runtimes.process.supervisor import files
from agents.runtimes.process.users import Users
from agents.settings import Settings, read_settings
from penstock.api.chips import ChipReport
from penstock.api.states import ChipHealth
from penstock.api.vendors import Vendor
from penstock.documents.sentences import sentence
from penstock.last_resort import SafeStream
from penstock.words import thousandths

OPEN_TIMEOUT_S: Final = 10.0
MARKS: Final = {"ok": "ok  ", "info": "note", "warning": "WARN", "error": "FAIL"}
GUIDE: Final = "docs/guides/add-a-chip-vendor.md"


LOAD_MODULE: Final = "load the vendor's kernel module, or give the container the devices"
INSTALL_DRIVER: Final = "install the vendor's driver, or mount its libraries into the container"
TOOL_IS_EXTRA: Final = "not needed while the library answers; useful to look by hand"

PERMIT: Final = "give the agent CAP_SYS_ADMIN, or run only jobs on this node that are trusted"
APART: Final = (
    "remove the cause (docs/guides/node-agent.md, Users) and start the agent anew, or run only "
    "projects on this node that trust each other"
)
CORRECT: Final = "correct the agent's option or its PENSTOCK_AGENT_ variable"
FEWER: Final = "the scheduler counts the host's own: some chips will stay free; emulate fewer"

Level = Literal["ok", "info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found. `advice` is empty where nothing has to be done."""

    level: Level
    what: str
    where: str
    advice: str = ""


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the findings; 1 when one of them is an error, else 0."""
    parser = argparse.ArgumentParser(prog="python -m agents doctor", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    args, options = parser.parse_known_args(argv)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(cast("TextIO", SafeStream())))
    found = _node(options)
    text = json.dumps([asdict(it) for it in found], indent=2) if args.json else render(found)
    sys.stdout.write(text + "\n")
    return int(any(it.level == "error" for it in found))


def examine(
    context: ChipContext, limits: Mapping[str, str], skip: Collection[str] = ()
) -> tuple[Finding, ...]:
    """Everything worth saying about this node; `limits` is how each limit is enforced here."""
    providers = chips.load(context, skip=skip)
    found = chips.probe(providers)
    provided = {*providers.by_vendor, *skip}
    return (
        *chips_found(found, context.vendors),
        *drops(found),
        *overcommitted(found.chips, host.capacity(context.roots, context.allowed_cpus)),
        *(
            it
            for key, row in context.vendors.items()
            for it in obstacles(key, row, presence(row, context.roots), key in provided)
        ),
        *(Finding("info", how, f"limit on {what}") for what, how in limits.items()),
        _state_dir(context),
    )


def render(findings: Sequence[Finding]) -> str:
    """The findings as lines for people, what to do below each."""
    lines = []
    for it in findings:
        lines.append(f"{MARKS[it.level]}  {it.where}: {it.what}")
        if it.advice:
            lines.append(f"      → {it.advice}")
    return "\n".join(lines)


def _node(options: Sequence[str]) -> tuple[Finding, ...]:
    """The findings of the node that the options and the environment describe."""
    try:
        settings = read_settings(options)
    except ValidationError as error:
        return tuple(
            Finding("error", sentence(it), ".".join(map(str, it["loc"])) or "settings", CORRECT)
            for it in error.errors()
        )
    context = chips.host_context(settings.state_dir, settings.emulated, measure=False)
    return (
        *examine(context, limits_here() if settings.cgroups else {}, settings.skip_chips),
        *separation(_isolation(settings), settings.cgroups),
    )


def _isolation(settings: Settings) -> Isolation:
    """With what the agent found out about its storage, which only it is told of."""
    found = separation_of(settings, recipe_of(settings))
    seen = files.read_json(str(settings.state_dir), STORAGE) or {}
    lack = str(seen.get("lacks", ""))
    return replace(found, users=Users(lack)) if lack and not found.users.lacks else found


def separation(isolation: Isolation, cgroups: bool) -> list[Finding]:
    """How far replicas are kept apart, and which promise the node cannot hold for want of it."""
    return [_processes(isolation, cgroups), _users(isolation)]


def _users(isolation: Isolation) -> Finding:
    words = isolation.describe()["users"]
    if not isolation.users.lacks:
        return Finding("ok", words, "replicas' users")
    lost = "a replica can read what the agent and other projects keep here"
    return Finding("warning", f"{words}; {lost}", "replicas' users", APART)


def _processes(isolation: Isolation, cgroups: bool) -> Finding:
    words = isolation.describe()["processes"]
    if isolation.pid_namespace:
        return Finding("ok", words, "replicas' processes")
    lost = "a replica can signal its supervisor and agent"
    if not cgroups:
        lost += ", and what strays from it may outlive it unseen when both are killed"
    return Finding("warning", f"{words}; {lost}", "replicas' processes", PERMIT)


def chips_found(found: ProbeResult, vendors: Mapping[str, Vendor]) -> list[Finding]:
    if not found.chips:
        return [Finding("error", "no usable chip was found", "chips", "see the lines below")]
    findings = []
    for (vendor, name), group in groupby(found.chips, key=lambda it: (it.vendor, it.type)):
        alike = list(group)
        findings.append(Finding("ok", f"{len(alike)} × {name}{_nature(alike[0])}", vendor))
        findings += [
            Finding("warning", it.health_message, it.key, "the scheduler leaves it out till then")
            for it in alike
            if it.health == ChipHealth.UNHEALTHY
        ]
        if not (vendors[vendor].verified or alike[0].emulated):
            findings.append(
                Finding("info", "Penstock's makers have not run on this vendor's hardware", vendor)
            )
    return findings


def _nature(chip: ChipReport) -> str:
    if chip.emulated:
        return f", emulated: processes on declared limits, standing for {chip.stands_for}"
    if chip.rates:
        flops = ", ".join(f"{key} {it.value:.3g} {it.unit}" for key, it in chip.rates.items())
        return f", measured: {flops}"
    return ""


def drops(found: ProbeResult) -> list[Finding]:
    return [
        Finding(
            "warning",
            f"left out: {it.reason}",
            f"{it.vendor} {it.device}".strip(),
            "remove the cause; the agent takes it in at its next probe",
        )
        for it in found.dropped
    ]


def overcommitted(reports: Sequence[ChipReport], capacity: Capacity) -> list[Finding]:
    """Emulated chips that declare more than the host has: they cannot all be used at once."""
    emulated = [it for it in reports if it.emulated]
    cores_milli = sum(it.cores_milli for it in emulated)
    memory = sum(it.memory_bytes or 0 for it in emulated)
    over = []
    if cores_milli > capacity.cores_milli:
        over.append(f"{thousandths(cores_milli)} cores of {thousandths(capacity.cores_milli)}")
    if capacity.memory_bytes is not None and memory > capacity.memory_bytes:
        over.append(f"{memory / 2**30:.1f} GiB of {capacity.memory_bytes / 2**30:.1f} GiB")
    what = f"the emulated chips declare {' and '.join(over)}"
    return [Finding("warning", what, "emulated", FEWER)] if over else []


def obstacles(key: str, row: Vendor, seen: Presence, has_provider: bool) -> list[Finding]:
    """What stands between the devices on the bus and their use. Nothing for absent vendors."""
    if not seen.pci:
        return []
    where = f"{key}, {len(seen.pci)} on the PCI bus"
    nodes = ", ".join(f"/dev/{name}" for name in row.device_nodes)
    libraries, tools = ", ".join(row.libraries), ", ".join(row.tools)
    lacking: list[tuple[bool, Level, str, str]] = [
        (not has_provider, "warning", f"this agent cannot use {row.title} yet", f"see {GUIDE}"),
        (bool(nodes) and not seen.nodes, "error", f"none of {nodes} exists", LOAD_MODULE),
        (not _any(_opens, row.libraries), "error", f"cannot open {libraries}", INSTALL_DRIVER),
        (not _any(shutil.which, row.tools), "info", f"{tools} not on the PATH", TOOL_IS_EXTRA),
    ]
    return [Finding(level, what, where, do) for missing, level, what, do in lacking if missing]


def _any(test: Callable[[str], object], names: Sequence[str]) -> bool:
    """Whether one of the names passes; true where nothing is needed."""
    return not names or any(test(name) for name in names)


def _opens(library: str) -> bool:
    opened = Isolated.build(library, lambda: ctypes.CDLL(library), (OSError,))
    return not isinstance(opened, Failure)


def _state_dir(context: ChipContext) -> Finding:
    folder = context.state_dir
    nearest = next((it for it in (folder, *folder.parents) if it.exists()), folder)
    if os.access(nearest, os.W_OK):
        return Finding("ok", f"{folder} can be written", "state folder")
    return Finding(
        "error", f"{folder} cannot be written", "state folder", "choose another or change its owner"
    )


def limits_here() -> Mapping[str, str]:
    """How limits would be enforced here; groups made to try that out are removed again."""
    limiter = detect("doctor")
    try:
        return limiter.describe()
    finally:
        limiter.leave()
