"""The command as a process: closed pipes, ctrl-C, full disks, what a start imports, completion."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.cloud import Network
from tests.integration.cli.conftest import Cli

ROOT = Path(__file__).parents[3]
START = [sys.executable, "-c", "from penstock.cli.main import main; main()"]


@pytest.fixture
def env(environ: dict[str, str]) -> dict[str, str]:
    return {**os.environ, **environ, "PYTHONPATH": str(ROOT)}


def run(env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*START, *arguments], env=env, capture_output=True, text=True, timeout=30, check=False
    )


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Children inherit an ignored SIGINT; some runners ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    "arguments",
    [["job", "list", "-o", "yaml"], ["job", "list"], ["job", "logs", "-f", "long"], ["--help"]],
)
def test_a_closed_pipe_is_quiet(env: dict[str, str], cli: Cli, arguments: list[str]) -> None:
    cli("job", "submit", "--name", "long", "--", "echo", "x" * 10)
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run(
        [*START, *arguments],
        env=env,
        stdout=write_end,
        stderr=subprocess.PIPE,
        timeout=30,
        check=False,
    )
    os.close(write_end)
    assert done.stderr == b""
    assert done.returncode == 0


@pytest.mark.parametrize("command", ["job list -w", "job logs -f long", "job wait long"])
def test_ctrl_c_ends_with_130_and_no_traceback(
    env: dict[str, str], cli: Cli, network: Network, interruptible: None, command: str
) -> None:
    cli("job", "submit", "--name", "long", "--", "sleep", "60")
    before = len(network.requests)
    process = subprocess.Popen(
        [*START, *command.split()], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 20
    while len(network.requests) == before and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert b"Traceback" not in errors


@pytest.mark.parametrize("redirection", [">&-", "2>&-", ">&- 2>&-", "<&-"])
@pytest.mark.parametrize("command", ["job list", "--help"])
def test_streams_that_the_shell_closed_are_quiet(
    env: dict[str, str], command: str, redirection: str
) -> None:
    line = f'exec "$@" {redirection}'
    done = subprocess.run(
        ["sh", "-c", line, "sh", *START, *command.split()],
        env=env,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_one_message(env: dict[str, str]) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*START, "job", "list"],
            env=env,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=30,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments,banned",
    [
        (["--help"], ["httpx", "pydantic", "yaml", "asyncio", "penstock.cli.commands.submit"]),
        (["job", "submit", "--help"], ["httpx", "pydantic", "asyncio"]),
        (["job", "list"], ["pydantic", "yaml", "asyncio", "penstock.cli.commands.submit"]),
        (["version"], ["pydantic", "yaml", "control_plane", "agents", "torch"]),
    ],
)
def test_a_start_imports_only_what_it_needs(
    env: dict[str, str], arguments: list[str], banned: list[str]
) -> None:
    program = (
        f"import sys; sys.path[:] = {sys.path!r}; import atexit;"
        "atexit.register(lambda: sys.stderr.write('\\n'.join(sys.modules)));"
        "from penstock.cli.main import main; main()"
    )
    # Without site, whose own imports differ from one installation to the next.
    done = subprocess.run(
        [sys.executable, "-S", "-c", program, *arguments],
        env=env,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-500:]
    assert sorted(set(banned) & set(done.stderr.split())) == []


def test_the_completion_script_completes_commands_options_and_names(
    env: dict[str, str], cli: Cli, tmp_path: Path
) -> None:
    for name in ("tiny-coder", "tiny-serve"):
        cli("job", "submit", "--name", name, "--", "sleep", "60")
    command = tmp_path / "penstock"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{START[2]}" "$@"\n')
    command.chmod(0o755)

    def completed(*words: str) -> list[str]:
        line = " ".join(f"'{word}'" for word in ("penstock", *words))
        script = (
            'eval "$(penstock completion bash)"; '
            f"COMP_WORDS=({line}); COMP_CWORD={len(words)}; _penstock_completion penstock; "
            'printf "%s\\n" "${COMPREPLY[@]}"'
        )
        path = f"{tmp_path}:{env['PATH']}"
        done = subprocess.run(
            ["bash", "-c", script],
            env={**env, "PATH": path},
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        return done.stdout.split()

    assert completed("job", "lo") == ["logs"]
    assert completed("job", "logs", "tiny-") == ["tiny-coder", "tiny-serve"]
    assert completed("node", "drain", "") == ["node-a"]
    assert completed("job", "submit", "--idem") == ["--idempotency-key"]
    assert completed("job", "submit", "--chip", "") == ["emulated", "emulated-a100"]
    assert completed("chip", "list", "--vendor", "emu") == ["emulated"]


def test_names_on_a_dead_server_are_none_and_quick(env: dict[str, str]) -> None:
    asked = {
        "_PENSTOCK_COMPLETE": "bash_complete",
        "COMP_WORDS": "penstock job get ",
        "COMP_CWORD": "3",
    }
    done = run({**env, **asked, "PENSTOCK_SERVER": "http://127.0.0.1:1"})
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_other_shells_find_no_fault_with_their_scripts(
    env: dict[str, str], shell: str, tmp_path: Path
) -> None:
    script = tmp_path / "script"
    script.write_text(run(env, "completion", shell).stdout)
    assert "_PENSTOCK_COMPLETE" in script.read_text()
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    done = subprocess.run([shell, "-n", script], capture_output=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
