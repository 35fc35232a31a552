"""The rule of purity: which code decides without reading the world, and what that forbids."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from tests.architecture.sources import PACKAGES, Source, dotted, imported_modules, python_sources

PURE: Final = ("scheduler/", "control_plane/domain/", "agents/replicas/converge.py")
IMPURE_CORNERS: Final = (
    "scheduler/simulator/adapters",
    "scheduler/simulator/report",
    "scheduler/simulator/__main__",
)
# Modules that read a database, network, file, clock, environment, process or randomness.
# `from random import Random` stays allowed: a generator is made from a seed that is passed in.
WORLDLY: Final = frozenset(
    "alembic asyncio celery concurrent ctypes fastapi fcntl fsspec getpass glob http httpx "
    "importlib.metadata importlib.resources io kombu logging mmap multiprocessing os pathlib "
    "platform prometheus_client psutil psycopg pynvml random redis requests resource secrets "
    "select selectors shutil signal socket sqlalchemy sqlite3 ssl starlette structlog subprocess "
    "sys tempfile threading time torch urllib uuid uuid_utils uvicorn warnings".split()
)
_WORLDLY_CALLS: Final = frozenset(
    "open input print breakpoint exec eval datetime.now datetime.utcnow datetime.today "
    "date.today datetime.datetime.now datetime.datetime.utcnow datetime.date.today".split()
)
_SEEDED_NUMPY: Final = frozenset({"default_rng", "Generator", "SeedSequence", "PCG64"})


def is_pure(path: str) -> bool:
    """Whether the rule holds of this file."""
    return path.startswith(PURE) and not path.startswith(IMPURE_CORNERS)


def impurities(source: Source) -> Iterator[str]:
    """What a file does that pure code may not, as `path:line what`."""
    for line, module in imported_modules(source):
        if _is_worldly(module):
            yield f"{source.path}:{line} imports {module}"
    for node in ast.walk(source.tree):
        if what := _worldly_use(node):
            yield f"{source.path}:{getattr(node, 'lineno', 0)} {what}"


def pure_closure() -> dict[str, str]:
    """Every file that pure code rests on → the pure file that reached it first.

    Pure code that imports a module of ours is only as pure as that module.
    """
    files = {source.path: source for source in python_sources(*PACKAGES)}
    reached = {path: path for path in files if is_pure(path)}
    frontier = list(reached)
    while frontier:
        path = frontier.pop()
        for _, module in imported_modules(files[path]):
            target = _file_of(module, files)
            if target and target not in reached:
                reached[target] = path
                frontier.append(target)
    return reached


def _is_worldly(module: str) -> bool:
    parts = module.split(".")
    heads = {".".join(parts[: count + 1]) for count in range(len(parts))}
    return bool(heads & WORLDLY) and module != "random.Random"


def _worldly_use(node: ast.AST) -> str | None:
    if isinstance(node, ast.Call):
        name = dotted(node.func)
        if name in _WORLDLY_CALLS:
            return f"calls {name}()"
        if name == "Random" and not node.args:
            return "makes a generator without a seed"
        if name.endswith("default_rng") and not node.args:
            return "makes a generator without a seed"
    if isinstance(node, ast.Attribute):
        owner = dotted(node.value)
        if owner in {"np.random", "numpy.random"} and node.attr not in _SEEDED_NUMPY:
            return f"uses numpy's global generator ({node.attr})"
    return None


def _file_of(module: str, files: dict[str, Source]) -> str | None:
    """The file that `import module` or `from module import name` reads, if it is ours."""
    parts = module.split(".")
    for stop in (len(parts), len(parts) - 1):
        stem = "/".join(parts[:stop])
        for candidate in (f"{stem}.py", f"{stem}/__init__.py"):
            if candidate in files:
                return candidate
    return None
