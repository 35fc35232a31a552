"""Which words of a command a shell would have replaced."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.cli.spec.literal import unexpanded


@pytest.mark.parametrize(
    "spec,words",
    [
        ({"task": {"command": ["python", "train.py", "--rank", "$RANK"]}}, ["$RANK"]),
        (
            {"task": {"command": ["echo", "${RANK}/$WORLD_SIZE", "$RANK"]}},
            ["${RANK}", "$WORLD_SIZE", "$RANK"],
        ),
        ({"task": {"command": ["echo", "$A", "$B", "$C", "$D"]}}, ["$A", "$B", "$C"]),
        ({"serve": {"command": ["vllm", "--port", "$PENSTOCK_PORT"]}}, ["$PENSTOCK_PORT"]),
        ({"task": {"command": ["sh", "-c", "echo $RANK"]}}, []),
        ({"task": {"command": ["nice", "/bin/bash", "-c", "echo $RANK"]}}, []),
        ({"task": {"command": ["echo", "costs $5", "a$", "$(date)"]}}, []),
        ({"serve": {"command": None}}, []),
        ({"train": {}}, []),
    ],
)
def test_variables_that_no_shell_replaces_are_found(spec: dict[str, Any], words: list[str]) -> None:
    assert list(unexpanded(spec)) == words
