"""What every command shows, and with which exit code it ends."""

from __future__ import annotations

import json

import pytest
import yaml

from penstock.api.health import Part
from tests.fakes.cloud import Cloud, Network
from tests.fakes.cluster import a_server, a_task
from tests.integration.cli.conftest import Cli

AWAY = "http://127.0.0.1:1"


@pytest.mark.parametrize(
    "words,shown",
    [
        ("job list", "NAME"),
        ("job get hello", "command:  echo, hi"),
        ("job logs hello", "hi"),
        ("job events hello", "job.succeeded"),
        ("job explain hello", "hello is succeeded: all replicas completed"),
        ("job wait hello", ""),
        ("job cancel long", ""),
        ("job retry hello", ""),
        ("node list", "node-a  ready   schedulable"),
        ("node get node-a", "num_chips"),
        ("node cordon node-a", "node-a is cordoned"),
        ("node uncordon node-a", "node-a is schedulable"),
        ("node drain node-a", "node-a is cordoned: nothing runs here any more"),
        ("node join", "node join --token psj_"),
        ("chip list", "emulated-a100"),
        ("chip get CHIP", "vendor:       emulated"),
        ("chip types", "emulated"),
        ("queue list", "default  0        0"),
        ("queue get default", "waiting"),
        ("queue set default any:8 emulated-a100:2", "default: any:8,emulated-a100:2"),
        ("queue set default", "default: -"),
        ("node retire --yes node-a", "node-a is retired"),
        ("endpoint list", "chat  pending  /models/tiny"),
        ("token create t --project default", "pst_"),
        ("token list", "NAME"),
        ("project create alpha", "made alpha (project_"),
        ("project create alpha -o name", "alpha\n"),
        ("project list", "default  "),
        ("status", "emulated-a100: 7 of 8 free, emulated"),
        ("version", "server: 0.1.0"),
        ("--version", "penstock 0.1.0"),
        ("completion bash", "complete -o nosort -F _penstock_completion penstock"),
        ("context list", "CURRENT"),
        ("plan -- true", "fits"),
    ],
)
def test_commands_show_what_they_are_for(cli: Cli, cloud: Cloud, words: str, shown: str) -> None:
    assert cli("job", "submit", "--name", "hello", "--", "echo", "hi").code == 0
    if "long" in words:
        assert cli("job", "submit", "--name", "long", "--", "sleep", "60").code == 0
    if words.split()[0] in ("endpoint", "status"):
        cloud.cluster.submit(a_server("chat"))
        cloud.settle()
    if "CHIP" in words:
        words = words.replace("CHIP", cli("chip", "list", "-q").out.split()[0])
    result = cli(*words.split())
    assert result.code == 0, result.err
    assert shown in result.out


@pytest.mark.parametrize(
    "words,code",
    [
        ("job get nobody", 3),
        ("job cancel hello nobody", 3),
        ("job logs -f nobody", 3),
        ("node get nobody", 3),
        ("context use nobody", 3),
        ("job wait failed", 1),
        ("job wait --exit-status failed", 7),
        ("job wait --exit-status hello failed", 7),
        ("plan --chips 64 -- true", 1),
        ("job submit --dry-run --chips 64 -- true", 1),
        ("token list", 4),
        ("job", 2),
        ("job list --limit x", 2),
        ("job list -o xml", 2),
        ("token create t --role king", 2),
        ("completion tcsh", 2),
        ("queue set default any", 2),
    ],
)
def test_exit_codes_say_what_kind_of_end_it_was(
    cli: Cli, cloud: Cloud, words: str, code: int
) -> None:
    cli("job", "submit", "--name", "hello", "--", "echo", "hi")
    cli("job", "submit", "--name", "failed", "--", "exit", "7")
    token = {"PENSTOCK_TOKEN": cloud.member} if words == "token list" else {}
    result = cli(*words.split(), **token)
    assert result.code == code, result.err
    assert "Traceback" not in result.err


def test_a_wrong_token_is_denied_with_what_to_do(cli: Cli) -> None:
    result = cli("job", "list", PENSTOCK_TOKEN="wrong")
    assert result.code == 4
    assert "[bad_token]" in result.err


def test_a_server_that_is_away_is_unreachable_with_what_to_do(cli: Cli) -> None:
    for words in (["job", "list"], ["status"], ["job", "submit", "--", "true"]):
        assert cli(*words, PENSTOCK_SERVER=AWAY).code == 5
    assert "penstock up" in cli("node", "list", PENSTOCK_SERVER=AWAY).err


def test_a_storage_that_takes_nothing_is_shown_by_status_and_doctor(
    cli: Cli, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert json.loads(cli("status", "-o", "json").out)["health"] == "ready"
    part = Part(ok=False, message="takes no writes: read-only file system")
    monkeypatch.setattr(cloud.cluster.deps.storage_probe, "look", lambda _: part)
    status = json.loads(cli("status", "-o", "json").out)
    assert status["health"] == "degraded: storage takes no writes: read-only file system"
    doctor = cli("doctor")
    assert doctor.code == 1
    assert "FAIL  server's storage: takes no writes: read-only file system" in doctor.out


def test_json_for_programs_is_all_on_the_first_line(cli: Cli) -> None:
    for name in ("a", "b"):
        cli("job", "submit", "--name", name, "--", "echo", "hi")
    first, *rest = cli("job", "list", "-o", "json").out.splitlines()
    assert rest == []
    assert [job["name"] for job in json.loads(first)] == ["b", "a"]


def test_the_status_for_programs_is_numbers_and_fields(
    cli: Cli, cloud: Cloud, network: Network
) -> None:
    cli("job", "submit", "--", "echo", "hi")
    for number in range(101):
        cloud.cluster.submit(a_task(f"waits-{number}"))
    network.requests.clear()
    found = json.loads(cli("status", "-o", "json").out)
    assert found["server"] == {"running_here": False}
    assert found["nodes"] == {"ready": 1}
    assert found["chips"] == {"emulated-a100": {"free": 8.0, "total": 8, "emulated": True}}
    assert found["jobs"] == {"queued": 101, "succeeded": 1}
    assert not [path for _, path, _ in network.requests if "jobs" in path], "nobody counts"
    shown = cli("status").out
    assert "queued:    101" in shown
    assert "not running here" in shown


def test_every_format_tells_the_same(cli: Cli) -> None:
    made = cli("job", "submit", "-q", "--", "echo", "hi").out.strip()
    job = json.loads(cli("job", "get", "-o", "json", made).out)
    assert yaml.safe_load(cli("job", "get", "-o", "yaml", job["id"]).out) == job
    assert cli("job", "list", "-o", "name").out == f"{job['name']}\n"
    assert cli("job", "list", "-q").out == f"{job['id']}\n"
    assert job["id"] in cli("job", "list", "-o", "wide").out


def test_a_list_that_is_cut_says_so_and_can_be_had_in_full(cli: Cli) -> None:
    for _ in range(3):
        cli("job", "submit", "--", "echo", "hi")
    cut = cli("job", "list", "-q", "--limit", "2")
    assert len(cut.out.splitlines()) == 2
    assert "--limit" in cut.err
    assert len(cli("job", "list", "-q", "--limit", "0").out.splitlines()) == 3


def test_the_same_key_is_the_same_job(cli: Cli) -> None:
    words = ("job", "submit", "-q", "--idempotency-key", "k", "--", "echo", "hi")
    assert cli(*words).out == cli(*words).out


def test_a_lost_answer_makes_one_job(cli: Cli, network: Network) -> None:
    network.lose_answers = 1
    assert cli("job", "submit", "--", "echo", "hi").code == 0
    assert len(cli("job", "list", "-q").out.splitlines()) == 1


def test_a_secret_is_alone_on_stdout_so_that_it_can_be_kept(cli: Cli) -> None:
    for words in (("token", "create", "t", "--project", "default"), ("node", "join", "-q")):
        secret = cli(*words).out
        assert secret.startswith(("pst_", "psj_"))
        assert len(secret.split()) == 1


def test_a_join_command_is_the_servers_own_with_what_stands_against_it(cli: Cli) -> None:
    result = cli("node", "join")
    assert result.out.startswith("penstock --server http://127.0.0.1:")
    assert " node join --token psj_" in result.out
    assert "warning: " in result.err
    assert "warning" not in cli("node", "join", "-q").err


def test_the_last_node_is_not_retired_unasked(cli: Cli) -> None:
    result = cli("node", "retire", "node-a")
    assert result.code == 1
    assert "no node is left that accepts work" in result.err
    assert "--yes" in result.err
    assert "node-a  ready   schedulable" in cli("node", "list").out
    assert "node join" in cli("node", "retire", "--yes", "node-a").err
