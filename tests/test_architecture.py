"""Imports, purity, vendor names, sizes, safety, dependencies and diagrams, held over all files.

Import directions between packages are import-linter's (`lint-imports`); the rest is here.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator

import pytest

from control_plane.errors import PlatformError
from penstock.catalogue import HINTS, TEXTS
from penstock.catalogue.render import TABLES
from tests.architecture import (
    codes,
    dependencies,
    diagrams,
    generated,
    names,
    purity,
    safety,
    sizes,
    tables,
)
from tests.architecture.sources import PACKAGES, ROOT, Source, imported_modules, python_sources

EVERYTHING = (*PACKAGES, "deploy", "tests")
STATE_TABLES = {
    "Job states": "job:ALLOWED",
    "Replica states": "replica:ALLOWED",
    "Node health": "node:HEALTH_ALLOWED",
    "Node intent": "node:INTENT_ALLOWED",
    "Lease states": "lease:ALLOWED",
    "Endpoint states": "endpoint:ALLOWED",
}


def test_every_package_of_the_design_is_here() -> None:
    _none(name for name in PACKAGES if not python_sources(name))
    paths = [source.path for source in python_sources(*PACKAGES)]
    _none(pure for pure in purity.PURE if not any(path.startswith(pure) for path in paths))


def test_pure_code_reads_nothing_of_the_world() -> None:
    closure = purity.pure_closure()
    files = {source.path: source for source in python_sources(*PACKAGES)}
    found = [
        f"{what} (reached from {closure[path]})"
        for path in sorted(closure)
        for what in purity.impurities(files[path])
    ]
    _none(found)


def test_vendor_names_stay_in_their_files() -> None:
    vendors = names.vendor_names()
    assert vendors
    found = [
        what
        for path, text in names.source_texts()
        for what in names.vendor_names_in(path, text, vendors)
    ]
    _none(found)


def test_no_file_names_a_machine_or_a_package_registry() -> None:
    _none(names.machine_traces())


def test_the_command_asks_the_server_through_the_client_alone() -> None:
    sources = [it for it in python_sources("penstock") if it.path.startswith("penstock/cli/")]
    _none(what for source in sources for what in names.routes_in(source))


def test_source_files_are_short() -> None:
    sources = python_sources(*PACKAGES)
    assert sizes.median_file(sources) <= sizes.MEDIAN_FILE_LINES
    _none(sizes.long_files(python_sources(*EVERYTHING)))


def test_functions_are_short() -> None:
    sources = python_sources(*PACKAGES)
    assert sizes.median_function(sources) <= sizes.MEDIAN_FUNCTION_LINES
    _none(sizes.long_functions(python_sources(*EVERYTHING)))


@pytest.mark.parametrize(
    "rule,tops",
    [
        (safety.broad_handlers, (*PACKAGES, "deploy")),
        (safety.environment_reads, PACKAGES),
        (safety.unsafe_calls, EVERYTHING),
        (safety.missing_docstring, EVERYTHING),
        (codes.states_told_elsewhere, PACKAGES),
        (tables.skips_outside_tables, EVERYTHING),
    ],
)
def test_no_file_breaks_a_rule_about_constructs(
    rule: Callable[[Source], Iterator[str]], tops: tuple[str, ...]
) -> None:
    _none(what for source in python_sources(*tops) for what in rule(source))


def test_every_code_has_one_text_with_its_parameters() -> None:
    errors = {it.__name__ for it in _below(PlatformError)}
    _none(codes.wrong_messages(python_sources(*PACKAGES), TEXTS, HINTS, errors))
    assert len(TEXTS) == sum(map(len, TABLES)), "two tables have the same code"


def test_extras_split_client_server_agent_and_workload() -> None:
    database = {"sqlalchemy", "psycopg", "alembic"}
    assert not dependencies.extra("agent") & (database | {"torch", "celery", "fastapi"})
    assert "torch" not in dependencies.extra("server")
    assert not dependencies.core() & (database | {"torch", "celery", "fastapi", "redis"})
    assert not dependencies.extra("workload") & database


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_only_what_its_extra_names(package: str) -> None:
    _none(dependencies.undeclared_imports(package))


@pytest.mark.parametrize("package", [name for name in PACKAGES if name != "workloads"])
def test_torch_is_imported_nowhere_but_in_workloads(package: str) -> None:
    found = [
        f"{source.path}:{line}"
        for source in python_sources(package)
        for line, module in imported_modules(source)
        if module.split(".")[0] == "torch"
    ]
    _none(found)


def test_every_dependency_is_pinned_by_name_and_version() -> None:
    pinned = dependencies.pins()
    declared = dependencies.core().union(
        *(dependencies.extra(name) for name in ("server", "agent", "workload", "dev"))
    )
    _none(declared - set(pinned))
    assert pinned["torch"] == "2.13.0"


def test_the_synchronous_transport_is_made_of_the_asynchronous_one() -> None:
    made = generated.synchronous(generated.ASYNC.read_text(encoding="utf-8"))
    assert generated.SYNC.read_text(encoding="utf-8") == made, (
        "python -m tests.architecture.generated"
    )


@pytest.mark.parametrize("title", STATE_TABLES)
def test_state_diagrams_match_the_transition_tables(title: str) -> None:
    module, _, table_name = STATE_TABLES[title].partition(":")
    table = getattr(importlib.import_module(f"control_plane.domain.{module}"), table_name)
    drawn = diagrams.diagrams((ROOT / "docs/architecture.md").read_text(encoding="utf-8"))
    assert diagrams.moves(drawn[title]) == diagrams.table_moves(table)
    assert diagrams.ends(drawn[title]) in (frozenset(), diagrams.table_ends(table))


def _below(cls: type[PlatformError]) -> Iterator[type[PlatformError]]:
    for one in cls.__subclasses__():
        yield one
        yield from _below(one)


def _none(violations: Iterable[str]) -> None:
    """Fails with one violation a line."""
    found = sorted(violations)
    assert not found, "\n" + "\n".join(found)
