"""Staying with a job: its output, its replicas, its end."""

from __future__ import annotations

from tests.fakes.cloud import Cloud, Network
from tests.integration.cli.conftest import Cli


def test_following_prints_the_output_alone_on_stdout(cli: Cli) -> None:
    result = cli("job", "submit", "--follow", "--", "echo", "hello", "there")
    assert (result.code, result.out) == (0, "hello there\n")
    assert result.err.startswith("submitted task-")


def test_quiet_following_says_nothing_else(cli: Cli) -> None:
    result = cli("job", "submit", "-q", "--follow", "--", "echo", "hello")
    assert (result.out, result.err) == ("hello\n", "")


def test_several_replicas_are_told_apart_by_rank(cli: Cli) -> None:
    result = cli("job", "submit", "--follow", "--replicas", "3", "--", "echo", "hi")
    assert sorted(result.out.splitlines()) == ["[0] hi", "[1] hi", "[2] hi"]
    job = result.err.split()[1]
    assert cli("job", "logs", "-f", "--rank", "1", job).out == "hi\n"


def test_a_failed_job_is_a_failure_or_its_own_code(cli: Cli) -> None:
    assert cli("job", "submit", "--follow", "--", "exit", "7").code == 1
    assert cli("job", "submit", "--wait", "--", "exit", "7").code == 1
    result = cli("job", "submit", "--follow", "--exit-status", "--", "exit", "7")
    assert result.code == 7
    assert "failed: rank 0 on node node-a" in result.err


def test_following_goes_over_cuts_without_gap_or_repeat(cli: Cli, network: Network) -> None:
    network.cut_after = [100, 0, 300]
    result = cli("job", "submit", "--follow", "--replicas", "5", "--", "echo", "hi")
    assert sorted(result.out.splitlines()) == [f"[{rank}] hi" for rank in range(5)]


def test_waiting_gives_up_after_its_time(cli: Cli) -> None:
    cli("job", "submit", "--name", "long", "--", "sleep", "60")
    result = cli("job", "wait", "--timeout", "0.1", "long")
    assert result.code == 1
    assert "[timeout]" in result.err


def test_cancelling_waits_if_asked_to(cli: Cli) -> None:
    cli("job", "submit", "--name", "long", "--", "sleep", "60")
    result = cli("job", "cancel", "--wait", "long")
    assert result.code == 0
    assert "long cancelled" in result.err


def test_a_retry_may_be_followed(cli: Cli) -> None:
    cli("job", "submit", "--name", "first", "--", "echo", "again")
    result = cli("job", "retry", "--follow", "first")
    assert (result.code, result.out) == (0, "again\n")


def test_the_tail_is_the_end_of_the_output(cli: Cli, cloud: Cloud) -> None:
    cli("job", "submit", "--name", "long", "--", "sleep", "60")
    cloud.say("long", *(f"line {number}" for number in range(5)))
    assert cli("job", "logs", "--tail", "2", "long").out == "line 3\nline 4\n"


def test_events_can_be_followed_to_the_end(cli: Cli) -> None:
    cli("job", "submit", "--name", "first", "--", "echo", "x")
    lines = cli("job", "events", "-f", "first").out.splitlines()
    kinds = [line.split()[1] for line in lines]
    assert (kinds[:2], kinds[-1]) == (["job.queued", "job.starting"], "job.succeeded")


def test_a_rank_that_a_live_job_does_not_have_yet_is_said_on_stderr(cli: Cli) -> None:
    cli("job", "submit", "--name", "live", "--", "sleep", "9")
    result = cli("job", "logs", "live", "--rank", "7", "--attempt", "1")
    assert (result.code, result.out) == (0, "")
    assert result.err == "live has no rank 7 in attempt 1 so far\n"
    assert cli("job", "logs", "live", "--rank", "0").err == ""
