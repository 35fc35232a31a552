"""Rules about what people are told: every code has a text with its parameters, every text is used,
and one file writes what a state tells.

A code is said by `say`, `violation`, the faults of documents, and every error of the control plane.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, TypeGuard, get_args

from pydantic_core.core_schema import ErrorType

from penstock.catalogue.render import FORMATS, OPTIONAL, PARAMETER
from tests.architecture.sources import Source, dotted

WRITES_STATES: Final = "control_plane/services/gangs/moves.py"
_KEPT: Final = re.compile(r"(health_|intent_)?(reason|message(_document)?)")


# Which argument of a call is the code, and which others are no parameters of the text.
_SAYERS: Final = {
    "say": 0, "violation": 1, "invalid": 1, "Fault": 1, "DocumentError": 0, "_add": 2,
}  # fmt: skip
_NOT_PARAMETERS: Final = frozenset(
    {"violations", "received", "allowed", "did_you_mean", "place", "pointer", "faults"}
)
_OF_THE_FIRST: Final = frozenset({"field", "what", "line", "column", "meant", "more"})
"""Parameters that `invalid` makes of its violations."""


def wrong_messages(
    sources: Iterable[Source], texts: Mapping[str, str], hints: Mapping[str, str], errors: set[str]
) -> Iterator[str]:
    """Codes without text, texts without code, parameters that differ, formats that are none.
    `errors` are the names of classes that take a code first.
    """
    used = {*get_args(ErrorType), "path_type"}  # what pydantic says
    for source in sources:
        if not source.path.startswith("penstock/catalogue/"):
            used |= {it.value for it in ast.walk(source.tree) if _is_word(it)}
        for call, code_node in _sayings(source, errors):
            where = f"{source.path}:{call.lineno}"
            codes = {it for it in texts if _code(code_node).fullmatch(it)}
            used |= codes
            if not codes:
                yield f"{where} says a code without text: {ast.unparse(code_node)}"
            for code in codes:
                text = f"{texts[code]} {hints.get(code, '')}"
                yield from (f"{where} {code}: {it}" for it in _differences(call, text))
    yield from (f"{code} has a text and nobody says it" for code in texts.keys() - used)
    yield from (f"{code} has a hint and no text" for code in hints.keys() - texts.keys())
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


def _sayings(source: Source, errors: set[str]) -> Iterator[tuple[ast.Call, ast.expr]]:
    """Calls that say something, with the expression of the code; words passed on have none."""
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.Call):
            continue
        name = dotted(node.func)
        position = 0 if name in errors else _SAYERS.get(name)
        if position is not None and len(node.args) > position:
            code = node.args[position]
            for one in (code.body, code.orelse) if isinstance(code, ast.IfExp) else (code,):
                if isinstance(one, ast.Constant | ast.JoinedStr):
                    yield node, one


def _code(node: ast.expr) -> re.Pattern[str]:
    """What the code may be; where it is made of parts, any with those."""
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    words = [it.value if isinstance(it, ast.Constant) else None for it in parts]
    return re.compile("".join(r"\w+" if it is None else re.escape(str(it)) for it in words))


def _is_word(node: ast.AST) -> TypeGuard[ast.Constant]:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _differences(call: ast.Call, text: str) -> Iterator[str]:
    wanted = {it[1] for it in PARAMETER.finditer(text)}
    given = {it.arg for it in call.keywords if it.arg and it.arg not in _NOT_PARAMETERS - wanted}
    yield from (f"{it} is given, but not in its text" for it in given - wanted)
    if dotted(call.func) == "invalid":
        given |= _OF_THE_FIRST
    if all(it.arg for it in call.keywords):
        needed = {it[1] for it in PARAMETER.finditer(OPTIONAL.sub("", text))}
        yield from (f"{it} is in its text, but not given" for it in needed - given)
