"""Makes a job spec out of a file, the options of the command line and a command after `--`."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from penstock.cli.failures import CliError
from penstock.client.requests import Document as Json
from penstock.documents import DEFAULT, Document, DocumentError, parse_document

MAX_SHOWN: Final = 80
_COUNT: Final = re.compile(r"\d{1,6}(\.\.\d{1,6})?")


def load_spec(file: str | None, given: Json, command: Sequence[str]) -> Json:
    """The spec document; `given` are the values of the command's options. Raises CliError for what
    is wrong with it.

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
    spec = merge(document.value, given, command)
    if file is not None:
        _check(spec, source, document)
    return spec


def merge(document: Json, given: Json, command: Sequence[str]) -> Json:
    """The document with the options on top; options win."""
    spec = dict(document)
    if command:
        spec.setdefault("type", "task")
        _add(spec, "task", {"command": list(command)})
    names = ("name", "project", "queue", "priority", "max_duration")
    spec.update({name: given[name] for name in names if given.get(name) is not None})
    section = "serve" if spec.get("type") == "serve" else "task"
    _add(spec, section, {"replicas": given.get("replicas")})
    workdir = given.get("workdir")  # a path of this machine, which its nodes may share
    _add(spec, "task", {"workdir": os.path.abspath(workdir) if workdir is not None else None})
    _add(spec, "retry", {"limit": given.get("retry")})
    _add(spec, "env", parse_pairs("--env", given.get("env", ())))
    _add(spec, "labels", parse_pairs("--label", given.get("label", ())))
    _add(spec, "resources", _resources(given))
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


def _resources(given: Json) -> Json:
    names = ("share", "cores", "host_memory")
    made: Json = {name: given.get(name) for name in names} | {"mix": given.get("mix") or None}
    chips = [name for one in given.get("chip", ()) for name in one.split(",") if name] or None
    if given.get("chips") is not None:
        wanted, made["chips"] = parse_chips(given["chips"])
        if wanted and chips:
            raise CliError(
                "chip_given_twice", "the chip type is given twice: by --chips and by --chip"
            )
        made["chip"] = wanted
    return made if made.get("chip") else made | {"chip": chips}


def _add(spec: Json, section: str, fields: Json) -> None:
    """Puts what was given on top of a section; one that is no mapping is checked as such later."""
    given = {name: value for name, value in fields.items() if value is not None}
    if given:
        spec[section] = {**_mapping(spec.get(section)), **given}


def _mapping(value: object) -> Json:
    return dict(value) if isinstance(value, Mapping) else {}


def _read(file: str) -> tuple[str, Document]:
    source = "stdin" if file == "-" else file
    data = _bytes(file)
    syntax = {".json": "json", ".yaml": "yaml", ".yml": "yaml"}.get(Path(file).suffix.lower())
    try:
        return source, parse_document(data, syntax=syntax)
    except DocumentError as error:
        at = {"": error.place} if error.place else {}
        violations = [{"pointer": it.pointer, "message": it.message} for it in error.faults]
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
