"""Rules about what people are told: every code has a text with its parameters, every text is used,
and one file writes what a state tells.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from typing import Final

from penstock.catalogue.render import FORMATS, OPTIONAL, PARAMETER
from tests.architecture.sources import Source, dotted

WRITES_STATES: Final = "control_plane/services/gangs/moves.py"
_KEPT: Final = re.compile(r"(health_|intent_)?(reason|message(_document)?)")


def wrong_messages(sources: Iterable[Source], texts: dict[str, str]) -> Iterator[str]:
    """Codes without text, texts without code, parameters that differ, formats that are none."""
    used: set[str] = set()
    for source in sources:
        for call in _sayings(source):
            where = f"{source.path}:{call.lineno}"
            codes = {code for code in texts if any(it.fullmatch(code) for it in _codes(call))}
            used |= codes
            if not codes:
                yield f"{where} says a code without text: {ast.unparse(call.args[0])}"
            for code in codes:
                yield from (f"{where} {code}: {it}" for it in _differences(call, texts[code]))
    yield from (f"{code} has a text and nobody says it" for code in texts.keys() - used)
    for code, text in texts.items():
        forms = {it[2] or "" for it in PARAMETER.finditer(text)}
        wrong = {it for it in forms if "|" not in it} - FORMATS.keys()
        yield from (f"{code} has an unknown format {it}" for it in wrong)


def states_told_elsewhere(source: Source) -> Iterator[str]:
    """Assignments of what a state tells, outside the file that owns that."""
    if source.path == WRITES_STATES or "/services/" not in source.path:
        return
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.Attribute) or not isinstance(node.ctx, ast.Store):
            continue
        if _KEPT.fullmatch(node.attr) and dotted(node.value) != "self":
            yield f"{source.path}:{node.lineno} writes {dotted(node)}"


def _sayings(source: Source) -> Iterator[ast.Call]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and dotted(node.func) == "say" and node.args:
            yield node


def _codes(call: ast.Call) -> Iterator[re.Pattern[str]]:
    """What the code may be; where it is made of parts, any with those."""
    code = call.args[0]
    if isinstance(code, ast.Constant):
        yield re.compile(re.escape(str(code.value)))
    if isinstance(code, ast.JoinedStr):
        parts = [it.value if isinstance(it, ast.Constant) else None for it in code.values]
        yield re.compile("".join(r"\w+" if it is None else re.escape(str(it)) for it in parts))


def _differences(call: ast.Call, text: str) -> Iterator[str]:
    given = {it.arg for it in call.keywords}
    wanted = {it[1] for it in PARAMETER.finditer(text)}
    needed = {it[1] for it in PARAMETER.finditer(OPTIONAL.sub("", text))}
    yield from (f"{it} is given, but not in its text" for it in given - wanted)
    yield from (f"{it} is in its text, but not given" for it in needed - given)
