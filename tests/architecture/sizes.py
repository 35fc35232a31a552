"""How large files and functions are: what is counted, and the bounds of both."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import PurePosixPath
from statistics import median
from typing import Final

from tests.architecture.sources import Function, Source, functions

MEDIAN_FILE_LINES: Final = 120
MOST_FILE_LINES: Final = 400
MEDIAN_FUNCTION_LINES: Final = 10
MOST_FUNCTION_LINES: Final = 60


def function_lines(function: Function) -> int:
    """Lines from `def` to the end: neither decorators nor the docstring count."""
    total = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function, clean=False) is None:
        return total
    return total - ((first.end_lineno or first.lineno) - first.lineno + 1)


def median_file(sources: Iterable[Source]) -> float:
    """Median length in lines; `__init__.py` files are left out, since they would flatter it."""
    sizes = [len(source.lines) for source in sources if not _is_init(source)]
    return median(sizes) if sizes else 0


def median_function(sources: Iterable[Source]) -> float:
    """Median length of all functions and methods in lines."""
    sizes = [function_lines(found) for source in sources for found in functions(source)]
    return median(sizes) if sizes else 0


def long_files(sources: Iterable[Source]) -> list[str]:
    return [
        f"{source.path}: {len(source.lines)} lines, at most {MOST_FILE_LINES}"
        for source in sources
        if len(source.lines) > MOST_FILE_LINES
    ]


def long_functions(sources: Iterable[Source]) -> list[str]:
    return [
        f"{source.path}:{found.lineno} {found.name}: {function_lines(found)} lines, "
        f"at most {MOST_FUNCTION_LINES}"
        for source in sources
        for found in functions(source)
        if function_lines(found) > MOST_FUNCTION_LINES
    ]


def _is_init(source: Source) -> bool:
    return PurePosixPath(source.path).name == "__init__.py"
