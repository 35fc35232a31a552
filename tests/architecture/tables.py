"""Only tables keep a layout of their own; anything else is laid out by the formatter."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.architecture.sources import Source

_MARK = "# fmt:" + " skip"
_DISPLAYS = (ast.List, ast.Tuple, ast.Set, ast.Dict)


def skips_outside_tables(source: Source) -> Iterator[str]:
    if _MARK not in source.text:
        return
    tables = [range(node.lineno, _end(node) + 1) for node in _tables(source.tree)]
    for number, line in enumerate(source.lines, 1):
        if _MARK in line and not any(number in table for table in tables):
            yield f"{source.path}:{number} skips the formatter and is no table"


def _tables(tree: ast.Module) -> Iterator[ast.stmt | ast.expr]:
    """Constants of a module or class, rows and mappings anywhere, cases of a test."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef):
            yield from (it for it in node.body if _holds_display(_value(it)))
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.Return) and _has_rows(_value(node)):
            yield node
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from node.decorator_list


def _value(node: ast.stmt) -> ast.expr | None:
    return node.value if isinstance(node, ast.Assign | ast.AnnAssign | ast.Return) else None


def _holds_display(value: ast.expr | None) -> bool:
    if isinstance(value, ast.Call):
        return not value.keywords and any(isinstance(it, _DISPLAYS) for it in value.args)
    if isinstance(value, ast.BinOp):
        return _holds_display(value.left) or _holds_display(value.right)
    return isinstance(value, _DISPLAYS)


def _has_rows(value: ast.expr | None) -> bool:
    if isinstance(value, ast.Dict):
        return len(value.values) > 2
    return isinstance(value, ast.List | ast.Tuple | ast.Set) and all(
        isinstance(it, _DISPLAYS) for it in value.elts
    )


def _end(node: ast.stmt | ast.expr) -> int:
    return node.end_lineno or node.lineno
