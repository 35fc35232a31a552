"""Rules about single constructs: broad handlers, environment reads, unsafe calls, docstrings."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Final

from tests.architecture.sources import Source, dotted, imported_modules

PROCESS_LOOP: Final = re.compile(r"#.*\bprocess loop: \S")
MAY_READ_ENVIRONMENT: Final = frozenset(
    {
        "control_plane/settings.py",
        "control_plane/__main__.py",  # which database, before pydantic is loaded
        "agents/settings.py",
        "workloads/settings.py",
        "penstock/cli/config.py",
    }
)
THE_LOG_ITSELF: Final = "penstock/last_resort.py"  # counts what it cannot write
_BROAD: Final = frozenset({"Exception", "BaseException"})
_LOG_METHODS: Final = frozenset({"critical", "error", "exception", "print_exc", "warning"})
_ENVIRONMENT: Final = frozenset({"os.environ", "os.environb", "os.getenv", "os.putenv"})
_PICKLES: Final = frozenset({"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"})
_UNSAFE_CALLS: Final = frozenset(
    "eval exec os.popen os.system torch.load torch.save yaml.full_load yaml.unsafe_load".split()
)
_SAFE_LOADERS: Final = frozenset(
    {"CSafeLoader", "SafeLoader", "yaml.CSafeLoader", "yaml.SafeLoader"}
)


def broad_handlers(source: Source) -> Iterator[str]:
    """Handlers of everything, except process loops that say so on the line and log it.

    `except Exception:  # process loop: why` is how a loop says so. A handler that puts things in
    order and ends in a bare `raise` handles nothing and is free.
    """
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ExceptHandler) and _is_broad(node.type) and not _passes_on(node):
            if not PROCESS_LOOP.search(source.lines[node.lineno - 1]):
                yield f"{source.path}:{node.lineno} catches everything outside a process loop"
            elif not _logs(node) and source.path != THE_LOG_ITSELF:
                yield f"{source.path}:{node.lineno} process loop that does not log what it caught"
        elif isinstance(node, ast.Call) and _suppresses_everything(node):
            yield f"{source.path}:{node.lineno} suppresses everything"


def environment_reads(source: Source) -> Iterator[str]:
    """Uses of the process environment outside the files that own it."""
    if source.path in MAY_READ_ENVIRONMENT:
        return
    for line, module in imported_modules(source):
        if module in _ENVIRONMENT:
            yield f"{source.path}:{line} imports {module}"
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute) and dotted(node) in _ENVIRONMENT:
            yield f"{source.path}:{node.lineno} uses {dotted(node)}"


def unsafe_calls(source: Source) -> Iterator[str]:
    """Pickle in any form, code from strings, unsafe YAML, and shells."""
    for line, module in imported_modules(source):
        if module.split(".")[0] in _PICKLES:
            yield f"{source.path}:{line} imports {module}"
    own_loaders = _own_safe_loaders(source)
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and (what := _unsafe(node, own_loaders)):
            yield f"{source.path}:{node.lineno} {what}"


def missing_docstring(source: Source) -> Iterator[str]:
    """A file that does not open by saying what it owns."""
    if not ast.get_docstring(source.tree):
        yield f"{source.path} does not open with a docstring"


def _is_broad(caught: ast.expr | None) -> bool:
    if caught is None:
        return True
    if isinstance(caught, ast.Tuple):
        return any(_is_broad(one) for one in caught.elts)
    return dotted(caught).rpartition(".")[2] in _BROAD


def _passes_on(handler: ast.ExceptHandler) -> bool:
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def _suppresses_everything(call: ast.Call) -> bool:
    return dotted(call.func).endswith("suppress") and any(map(_is_broad, call.args))


def _logs(handler: ast.ExceptHandler) -> bool:
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in _LOG_METHODS
        for node in ast.walk(handler)
    )


def _own_safe_loaders(source: Source) -> frozenset[str]:
    return frozenset(
        node.name
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ClassDef)
        and any(dotted(base) in _SAFE_LOADERS for base in node.bases)
    )


def _unsafe(call: ast.Call, own_loaders: frozenset[str]) -> str | None:
    name = dotted(call.func)
    if name in _UNSAFE_CALLS:
        return f"calls {name}()"
    if name in {"yaml.load", "yaml.load_all"} and not _safe_loader(call, own_loaders):
        return f"calls {name}() without a safe loader"
    for keyword in call.keywords:
        if keyword.arg == "shell" and not _is_false(keyword.value):
            return "runs a shell"
    return None


def _safe_loader(call: ast.Call, own_loaders: frozenset[str]) -> bool:
    given = [*call.args[1:2], *(k.value for k in call.keywords if k.arg == "Loader")]
    return any(dotted(loader) in _SAFE_LOADERS | own_loaders for loader in given)


def _is_false(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is False
