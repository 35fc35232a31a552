"""Makes a job spec out of a file, the options of the command line and a command after `--`."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from penstock.cli.failures import CliError
from penstock.client.requests import Document as Json
from penstock.documents import DEFAULT, Document, DocumentError, parse_document

MAX_SHOWN: Final = 80
_COUNT: Final = re.compile(r"\d{1,6}(\.\.\d{1,6})?")


@dataclass(frozen=True, slots=True)
class SpecFlags:
    """What the options say; None and empty mean: not given. Field names are those of the spec."""

    name: str | None = None
    project: str | None = None
    queue: str | None = None
    priority: int | None = None
    max_duration: str | None = None
    chips: str | None = None
    chip: Sequence[str] = ()
    share: float | None = None
    mix: bool = False
    cores: float | None = None
    host_memory: str | None = None
    replicas: int | None = None
    retry: int | None = None
    workdir: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)

    @staticmethod
    def of(options: Json) -> SpecFlags:
        """From the values of the command's options. Raises CliError."""
        plain = dict(options)
        env, labels = plain.pop("env", ()), plain.pop("label")
        return SpecFlags(
            **plain, env=parse_pairs("--env", env), labels=parse_pairs("--label", labels)
        )


def load_spec(file: str | None, flags: SpecFlags, command: Sequence[str]) -> Json:
    """The spec document. Raises CliError for what is wrong with it.

    A file is checked against its type here, where its lines are known. A spec of options alone is
    left to the server, which says the same; the check's imports would double the time to submit.
    """
    source, document = ("", Document({})) if file is None else _read(file)
    if file is None and not command:
        raise CliError(
            "nothing_to_run",
            "give a job file, or a command after `--`",
            hint="for example: penstock job submit -- echo hello",
        )
    spec = merge(document.value, flags, command)
    if file is not None:
        _check(spec, source, document)
    return spec


def merge(document: Json, flags: SpecFlags, command: Sequence[str]) -> Json:
    """The document with the options on top; options win."""
    spec = dict(document)
    if command:
        spec.setdefault("type", "task")
        spec["task"] = {**_mapping(spec.get("task")), "command": list(command)}
    for name in ("name", "project", "queue", "priority", "max_duration"):
        _set(spec, name, getattr(flags, name))
    if flags.replicas is not None:
        section = "serve" if spec.get("type") == "serve" else "task"
        spec[section] = {**_mapping(spec.get(section)), "replicas": flags.replicas}
    if flags.workdir is not None:  # a path of this machine, which its nodes may share
        spec["task"] = {**_mapping(spec.get("task")), "workdir": os.path.abspath(flags.workdir)}
    if flags.retry is not None:
        spec["retry"] = {"limit": flags.retry}
    for name, given in (("env", flags.env), ("labels", flags.labels)):
        if given:
            spec[name] = {**_mapping(spec.get(name)), **given}
    resources = _resources(flags)
    if resources:
        spec["resources"] = {**_mapping(spec.get("resources")), **resources}
    return spec


def parse_chips(text: str) -> tuple[str | None, str]:
    """(type or None, count) from `TYPE:COUNT` or `COUNT`. Raises CliError."""
    name, colon, count = text.rpartition(":")
    if not _COUNT.fullmatch(count.strip()) or (colon and not name.strip()):
        raise CliError(
            "bad_chips",
            f"--chips must be COUNT or TYPE:COUNT such as 4, 2..8 or cpu:1, not `{text}`",
        )
    return name.strip() or None, count.strip()


def parse_pairs(option: str, pairs: Sequence[str]) -> dict[str, str]:
    """A mapping from `K=V` words. Raises CliError, which never repeats a value."""
    made = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise CliError("bad_pair", f"{option} must be KEY=VALUE, not `{key}`")
        made[key] = value
    return made


def _resources(flags: SpecFlags) -> Json:
    made: Json = {}
    if flags.chips is not None:
        wanted, made["chips"] = parse_chips(flags.chips)
        _set(made, "chip", wanted)
    chips = [name for one in flags.chip for name in one.split(",") if name]
    if chips and "chip" in made:
        raise CliError("chip_given_twice", "the chip type is given twice: by --chips and by --chip")
    _set(made, "chip", chips or None)
    for name in ("share", "cores", "host_memory"):
        _set(made, name, getattr(flags, name))
    _set(made, "mix", flags.mix or None)
    return made


def _set(target: Json, name: str, value: object) -> None:
    if value is not None:
        target[name] = value


def _mapping(value: object) -> Json:
    """A section to add options to; what is no mapping is replaced, and checked as such later."""
    return dict(value) if isinstance(value, Mapping) else {}


def _read(file: str) -> tuple[str, Document]:
    source = "stdin" if file == "-" else file
    data = _bytes(file)
    syntax = {".json": "json", ".yaml": "yaml", ".yml": "yaml"}.get(Path(file).suffix.lower())
    try:
        return source, parse_document(data, syntax=syntax)
    except DocumentError as error:
        at = {"": error.place} if error.place else {}
        violations = [one._asdict() for one in error.faults]
        raise CliError(
            error.code, error.message, errors=violations, source=source, places=at
        ) from error


def _bytes(file: str) -> bytes:
    try:
        if file == "-":
            return sys.stdin.buffer.read(DEFAULT.num_bytes + 1)
        with Path(file).open("rb") as opened:
            return opened.read(DEFAULT.num_bytes + 1)
    except OSError as error:
        raise CliError(
            "cannot_read",
            f"cannot read {file}: {(error.strerror or str(error)).lower()}",
            hint="a command to run goes after `--`: penstock job submit -- COMMAND",
        ) from error


def _check(spec: Json, source: str, document: Document) -> None:
    from pydantic import ValidationError  # takes time to import, and only submitting needs it

    from penstock.api.specs import JobSpec
    from penstock.documents.violations import violations_of

    try:
        JobSpec.model_validate(spec)
    except ValidationError as error:
        violations = [
            it.model_dump(exclude_none=True) for it in violations_of(error, JobSpec, spec)
        ]
        raise CliError(
            "invalid",
            "the job spec is not valid",
            errors=violations,
            source=source,
            places=document.places,
            hint=_hint(spec),
        ) from error


def _hint(spec: Json) -> str | None:
    """How to write a command that was given as one text."""
    for section in ("task", "serve"):
        command = _mapping(spec.get(section)).get("command")
        if isinstance(command, str):
            shown = command if len(command) <= MAX_SHOWN else "..."
            text = json.dumps(shown, ensure_ascii=False)
            return f"a command is a list of words; for a shell's line: command: [sh, -c, {text}]"
    return None
