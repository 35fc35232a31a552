"""Words of a command that a shell would have replaced, where no shell will."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Final

from penstock.json_types import Json

SHELLS: Final = frozenset("sh bash dash zsh ksh fish ash busybox".split())
_VARIABLE: Final = re.compile(r"\$(?:[A-Za-z_][A-Za-z0-9_]*|\{[A-Za-z_][A-Za-z0-9_]*\})")


def unexpanded(spec: Json) -> Iterator[str]:
    """Variables in the command of a job's document, `$RANK` or `${RANK}`, each once and the first
    three; none where one of its words is a shell, which will replace them.
    """
    command = next((section["command"] for section in _sections(spec)), None) or []
    if any(PurePosixPath(word).name in SHELLS for word in command):
        return
    found = dict.fromkeys(it for word in command for it in _VARIABLE.findall(word))
    yield from list(found)[:3]


def _sections(spec: Json) -> Iterator[Json]:
    for name in ("task", "serve"):
        section = spec.get(name)
        if section and section.get("command"):
            yield section
