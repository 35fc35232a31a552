"""Bad inputs: each one message with its place, the nearest name and a code, and exit code 2."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.cloud import Network
from tests.integration.cli.conftest import Cli

TASK = "type: task\ntask: {command: [a]}\n"
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(8)
)
FILES = {
    "broken YAML": ("a.yaml", "type: train\nresources: {chip: [any", "a.yaml:2:", "broken_yaml"),
    "tabs": ("a.yaml", "task:\n\tcommand: [a]\n", "a.yaml:2:1:", "broken_yaml"),
    "broken JSON": ("a.json", '{"type": "task",}', "a.json:1:17:", "broken_json"),
    "NaN": ("a.json", '{"type": NaN}', "NaN", "broken_json"),
    "misspelt key": ("a.yaml", TASK + "quue: x\n", "a.yaml:3:1: /quue", "did you mean `queue`"),
    "misspelt deep key": (
        "a.yaml", "type: train\ntrain:\n  stpes: 1\n", "a.yaml:3:3: /train/stpes", "`steps`",
    ),
    "misspelt value": ("a.yaml", "type: trian\n", "/type", "did you mean `train`"),
    "wrong type": ("a.yaml", TASK + "priority: high\n", "a.yaml:3:1: /priority", "not 'high'"),
    "out of range": ("a.yaml", TASK + "priority: 500\n", "must be at most 100", "[invalid]"),
    "duplicate key": ("a.yaml", TASK + "name: a\nname: b\n", "a.yaml:4:1", "duplicate_key"),
    "duplicate JSON key": ("a.json", '{"name": "a", "name": "b"}', "/name", "duplicate_key"),
    "alias bomb": ("a.yaml", BOMB, "20000 values", "too_many_aliases"),
    "tag": ("a.yaml", "type: !!python/object:os.system x\n", "a.yaml:1:7", "tag_refused"),
    "deep nesting": ("a.json", '{"a":' * 5000, "nested deeper", "too_deep"),
    "huge number": ("a.yaml", TASK + "priority: 1e999\n", "a.yaml:3:11", "number_too_large"),
    "no mapping": ("a.yaml", "- a\n- b\n", "not a list", "not_a_mapping"),
    "empty": ("a.yaml", "", "is empty", "empty_document"),
    "two sections": ("a.yaml", TASK + "train: {}\n", "needs the section `task`", "[invalid]"),
    "missing section": ("a.yaml", "type: task\n", "needs the section `task`", "[invalid]"),
    "bad name": ("a.yaml", TASK + "name: Not A Name\n", "a.yaml:3:1: /name", "not 'Not A Name'"),
    "bad count": ("a.yaml", TASK + "resources: {chips: x}\n", "/resources/chips", "such as 4"),
    "bad size": ("a.yaml", TASK + "resources: {memory: much}\n", "/resources/memory", "16GiB"),
    "bad duration": ("a.yaml", TASK + "max_duration: 2 hours\n", "/max_duration", "1h30m"),
}  # fmt: skip


@pytest.mark.parametrize("case", FILES)
def test_a_bad_file_is_one_message_with_its_place(
    cli: Cli, network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    name, text, *words = FILES[case]
    (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    result = cli("job", "submit", name)
    assert result.code == 2
    assert result.err.startswith("error: ")
    assert len([line for line in result.err.splitlines() if line.startswith("error")]) == 1
    assert all(word in result.err for word in words), result.err
    assert len(result.err) < 2048
    assert network.requests == []


@pytest.mark.parametrize(
    "words,told",
    [
        (["job", "submit"], "nothing_to_run"),
        (["job", "submit", "nothing.yaml"], "no such file"),
        (["job", "submit", "/"], "is a directory"),
        (["job", "submit", "--chips", "many", "--", "a"], "COUNT or TYPE:COUNT"),
        (["job", "submit", "--env", "NAME", "--", "a"], "KEY=VALUE"),
        (["job", "submit", "--priority", "high", "--", "a"], "--priority"),
        (["job", "submit", "--priority", "500", "--", "a"], "--priority"),
        (["job", "submit", "--max-duration", "soon", "--", "a"], "/max_duration"),
        (["job", "submit", "--share", "2", "--", "a"], "/resources/share"),
        (["job", "sumbit"], "Did you mean 'submit'"),
        (["job", "list", "--sate", "x"], "--state"),
        (["job", "list", "--state", "x"], "--state must be one of queued"),
        (["job", "list", "--sort", "foo"], "--sort must be one of created_at, -created_at"),
        (["job", "list", "-o", "csv"], "'--output': 'csv' is not one of 'table'"),
        (["job", "list", "--type", "x"], "--type must be one of train"),
        (["job", "submit", "python", "x.py"], "penstock job submit -- python x.py"),
        (["token", "create", "t", "--role", "viewer"], "--project"),
        (["jbo", "list"], "Did you mean 'job'"),
        (["job", "get", ".."], "neither a name nor an id"),
        (["--server", "nowhere", "job", "list"], "is no server address"),
        (["up", "--host", "0.0.0.0", "--no-auth"], "without authentication"),
        (["up", "--emulate", "emulated-a10:1"], "did you mean `emulated-a100`"),
        (["up", "--emulate", "emulated-a100"], "TYPE:COUNT"),
        (["up", "--port", "99999"], "--port"),
    ],
)
def test_a_bad_command_line_says_what_is_wrong(cli: Cli, words: list[str], told: str) -> None:
    result = cli(*words)
    assert result.code == 2
    assert told in result.err
    assert "Traceback" not in result.err


def test_stdin_is_read_for_a_dash_and_named_in_errors(cli: Cli) -> None:
    assert cli("job", "submit", "-", stdin=TASK).code == 0
    assert "stdin:1:" in cli("job", "submit", "-", stdin="a: [").err
    assert "not_utf8" in cli("job", "submit", "-", stdin=b"a: \xff").err


def test_what_the_server_refuses_looks_the_same(cli: Cli) -> None:
    cli("job", "submit", "--name", "taken", "--", "sleep", "9")
    result = cli("job", "submit", "--name", "taken", "--", "sleep", "9")
    assert result.code == 1
    assert result.err.startswith("error: ")
    assert "[job_name_taken]" in result.err


def test_a_broken_contexts_file_is_told(cli: Cli, environ: dict[str, str]) -> None:
    home = Path(environ["PENSTOCK_HOME"])
    home.mkdir()
    (home / "config.json").write_text("{")
    result = cli("job", "list")
    assert result.code == 2
    assert "is not a contexts file" in result.err


def test_a_command_as_one_text_is_told_how_to_be_written(cli: Cli) -> None:
    result = cli("job", "submit", "-", stdin="type: task\ntask:\n  command: echo hi\n")
    assert result.code == 2
    assert 'command: [sh, -c, "echo hi"]' in result.err
