"""What is watched is asked for again when the server says that it changed, and not before."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.fakes.cloud import Cloud, Network
from tests.fakes.cluster import a_task
from tests.fakes.waiting import until
from tests.integration.cli.conftest import Cli
from tests.integration.cli.test_process import START


@contextmanager
def _running(environ: dict[str, str], *words: str) -> Iterator[Iterator[str]]:
    """What a command prints, line by line."""
    command = [*START, *words]
    with subprocess.Popen(
        command, env={**os.environ, **environ}, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield iter(process.stdout)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(10)


def _asked(network: Network, path: str) -> list[dict[str, str]]:
    """The headers of the requests."""
    return [headers for _, asked, headers in network.requests if asked.startswith(path)]


def test_a_watched_list_follows_the_feed_without_asking_in_between(
    cli: Cli, environ: dict[str, str], cloud: Cloud, network: Network
) -> None:
    cli("job", "submit", "--name", "first", "--", "sleep", "60")
    with _running(environ, "job", "list", "-w", "-q") as lines:
        first = next(lines)
        asked = len(_asked(network, "/api/v1/jobs?"))
        time.sleep(1.5)  # long enough for whoever would ask again by the clock
        assert len(_asked(network, "/api/v1/jobs?")) == asked
        cli("job", "submit", "--name", "second", "--", "sleep", "60")
        assert {next(lines), next(lines)} > {first}
        assert "if-none-match" in _asked(network, "/api/v1/jobs?")[-1]


def test_a_watched_status_shows_what_is_counted(environ: dict[str, str], cloud: Cloud) -> None:
    with _running(environ, "status", "-w", "-o", "json") as lines:
        assert json.loads(next(lines))["jobs"] == {}
        cloud.cluster.submit(a_task("waits"))
        assert json.loads(next(lines))["jobs"] == {"queued": 1}


def test_who_waits_for_a_job_asks_when_it_changed(
    cli: Cli, environ: dict[str, str], cloud: Cloud, network: Network
) -> None:
    cli("job", "submit", "--name", "long", "--", "sleep", "60")
    with _running(environ, "job", "wait", "long"):
        until(lambda: _asked(network, "/api/v1/changes") != [])
        time.sleep(1.5)  # as above
        asked = len(_asked(network, "/api/v1/jobs/"))
        cli("job", "cancel", "long")
        until(lambda: len(_asked(network, "/api/v1/jobs/")) > asked)
    assert asked <= 3
