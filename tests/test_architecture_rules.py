"""Each architecture rule fails on what it forbids: a rule that cannot fail proves nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.architecture import diagrams, names, purity, safety, sizes
from tests.architecture.sources import Source


@pytest.mark.parametrize(
    "text",
    [
        "import os",
        "from pathlib import Path",
        "import random",
        "def now():\n    return datetime.now(tz=UTC)",
        "def read(path):\n    return open(path)",
        "generator = Random()",
        "noise = np.random.rand(3)",
        "import importlib.resources",
    ],
)
def test_worldly_code_is_impure(text: str) -> None:
    assert list(purity.impurities(Source("scheduler/bad.py", text)))


def test_a_seeded_generator_is_pure() -> None:
    text = "from random import Random\ndef draw(seed):\n    return Random(seed).random()"
    assert list(purity.impurities(Source("scheduler/good.py", text))) == []


def test_simulator_shells_are_outside_the_rule_of_purity() -> None:
    assert purity.is_pure("scheduler/simulator/engine.py")
    assert not purity.is_pure("scheduler/simulator/report.py")
    assert not purity.is_pure("agents/main.py")


@pytest.mark.parametrize(
    "rule,text",
    [
        (safety.broad_handlers, "try:\n    f()\nexcept Exception:\n    log.error('x')"),
        (safety.broad_handlers, "try:\n    f()\nexcept (KeyError, Exception):\n    pass"),
        (safety.broad_handlers, "try:\n    f()\nexcept Exception:  # process loop: why\n    pass"),
        (safety.broad_handlers, "with contextlib.suppress(Exception):\n    f()"),
        (safety.environment_reads, "import os\nhome = os.environ['HOME']"),
        (safety.environment_reads, "from os import getenv"),
        (safety.unsafe_calls, "import pickle"),
        (safety.unsafe_calls, "weights = torch.load(path)"),
        (safety.unsafe_calls, "yaml.load(text, Loader=yaml.FullLoader)"),
        (safety.unsafe_calls, "subprocess.run(command, shell=True)"),
        (safety.missing_docstring, "import os"),
    ],
)
def test_forbidden_constructs_are_found(rule: Callable[[Source], Iterator[str]], text: str) -> None:
    assert list(rule(Source("agents/bad.py", text)))


@pytest.mark.parametrize(
    "rule,text",
    [
        (
            safety.broad_handlers,
            "try:\n    f()\nexcept Exception:  # process loop: lives on\n    log.exception('x')",
        ),
        (safety.broad_handlers, "try:\n    f()\nexcept BaseException:\n    undo()\n    raise"),
        (safety.unsafe_calls, "class Strict(yaml.SafeLoader): ...\nyaml.load(text, Loader=Strict)"),
    ],
)
def test_permitted_forms_pass(rule: Callable[[Source], Iterator[str]], text: str) -> None:
    assert list(rule(Source("agents/good.py", text))) == []


def test_settings_may_read_the_environment() -> None:
    text = "import os\nhome = os.environ['HOME']"
    assert list(safety.environment_reads(Source("agents/settings.py", text))) == []


def test_a_vendor_may_be_named_in_its_own_file_only() -> None:
    vendors = {"acme", "zenith"}
    text = "TYPE = 'acme-x1'\nsparse = 'acmeology'"
    assert list(names.vendor_names_in("agents/node/chips/acme.py", text, vendors)) == []
    for path in ("agents/main.py", "agents/node/chips/zenith.py"):
        assert list(names.vendor_names_in(path, text, vendors)) == [f"{path}:1 names acme"]


def test_machine_paths_and_registries_are_found() -> None:
    assert list(names.traces_in("a.md", "see /ro" + "ot/notes and files.python" + "hosted.org"))
    assert list(names.traces_in("a.md", "GET /api/v1/root and ./work/space")) == []


def test_docstring_and_decorators_do_not_count_as_function_lines() -> None:
    text = '@a\n@b\ndef f(x):\n    """One.\n\n    Two.\n    """\n    return x\n'
    assert sizes.median_function([Source("a.py", text)]) == 2


def test_long_functions_and_files_are_found() -> None:
    text = "def f():\n" + "    x = 1\n" * 60 + "y = 1\n" * 400
    assert sizes.long_functions([Source("a.py", text)]) == ["a.py:1 f: 61 lines, at most 60"]
    assert sizes.long_files([Source("a.py", text)]) == ["a.py: 461 lines, at most 400"]


def test_a_state_diagram_is_read_back() -> None:
    text = (
        "## States\n\nWords.\n\n### Lamp states\nMore words.\n```mermaid\nstateDiagram-v2\n"
        "    [*] --> off\n    off --> on: switched\n    on --> [*]\n```\n"
    )
    (edges,) = diagrams.diagrams(text).values()
    assert list(diagrams.diagrams(text)) == ["Lamp states"]
    assert diagrams.moves(edges) == {("off", "on")}
    assert diagrams.ends(edges) == {"on"}
