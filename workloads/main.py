"""Entry of a replica: what was asked for, train or serve. The work itself is elsewhere.

Heavy libraries are imported here, once the garbage collector is out of their way: on a quarter
of a core that saves a second of start-up.
"""

from __future__ import annotations

import gc
import sys
from typing import Final

from workloads.failures import failure_of
from workloads.reporter import Reporter
from workloads.settings import Settings, process_settings

USAGE: Final = "usage: python -m workloads train|serve"
EXIT_USAGE: Final = 2
REPORT_S: Final = 10.0
"""For the word to the agent before the process ends."""


def main(arguments: list[str]) -> int:
    """Runs the engine named by the one argument; returns the process's exit code."""
    if arguments not in (["train"], ["serve"]):
        print(USAGE, file=sys.stderr)
        return EXIT_USAGE
    try:
        settings = process_settings()
    except (OSError, ValueError) as error:
        print(f"this replica's environment cannot be used: {error}", file=sys.stderr)
        return EXIT_USAGE
    try:
        return _train(settings) if arguments == ["train"] else _serve(settings)
    except ModuleNotFoundError as error:
        return _lacks(settings, error)


def _lacks(settings: Settings, error: ModuleNotFoundError) -> int:
    """A node may have an agent and nothing that computes."""
    code, message = failure_of(error)
    print(message, file=sys.stderr)
    reporter = Reporter(settings.agent_socket, settings.replica_id, settings.agent_token)
    reporter.failed(code, message)
    reporter.close(REPORT_S)
    return EXIT_USAGE


def _train(settings: Settings) -> int:
    gc.disable()
    from workloads.training.job import run_training

    gc.freeze()
    gc.enable()
    return run_training(settings)


def _serve(settings: Settings) -> int:
    gc.disable()
    from workloads.engine.server import main as run_serving

    gc.freeze()
    gc.enable()
    run_serving(settings)
    return 0
