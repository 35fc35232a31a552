"""Collectives between real processes: equal to the bit, held to link speeds, loud when alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.gang import ROOT, free_port

pytestmark = pytest.mark.integration

PROGRAM = """
import hashlib, json, os, sys, time
import torch
from workloads.transport.gloo import PeerLost, Rendezvous, connect
rank, world, port, link, dies = (json.loads(text) for text in sys.argv[1:])
torch.set_num_threads(1)
transport = connect(Rendezvous(rank, world, "127.0.0.1", "127.0.0.1", port, link[rank], 30.0))
values = torch.randn(1_500_000, generator=torch.Generator().manual_seed(rank))
transport.agree("begin", None)
began = time.monotonic()
transport.all_reduce(values)
took = time.monotonic() - began
told = transport.agree("word", {"from": rank})
gathered = transport.gather("ranks", rank)
if dies == rank:
    os._exit(9)
lost = ""
try:
    for _ in range(3 if dies is not None else 0):
        transport.all_reduce(values)
except PeerLost as error:
    lost = str(error)
digest = hashlib.sha256(values.numpy().tobytes()).hexdigest()
print(json.dumps([digest, took, told, gathered, lost]), flush=True)
os._exit(0)
"""


def _run(
    world: int, link: list[float | None] | None = None, dies: int | None = None
) -> list[list[Any]]:
    arguments = [json.dumps(it) for it in (world, free_port(), link or [None] * world, dies)]
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(rank), *arguments],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
        )
        for rank in range(world)
    ]
    outputs = [rank.communicate(timeout=60)[0] for rank in ranks]
    return [json.loads(output) for output in outputs if output]


def test_every_rank_gets_the_same_bits_in_every_run() -> None:
    first, second = _run(3), _run(3)
    assert len({answer[0] for answer in first + second}) == 1
    assert [answer[2] for answer in first] == [{"from": 0}] * 3
    assert [answer[3] for answer in first] == [[0, 1, 2]] * 3


def test_one_slow_link_holds_the_whole_gang_to_its_speed() -> None:
    sent_bytes = 1_500_000 * 4 * 2 * (2 - 1) / 2
    answers = _run(2, [None, sent_bytes / 0.8])
    assert answers[1][1] >= 0.8
    assert answers[0][1] >= 0.8 * (4 * 2**20) / (1_500_000 * 4) - 0.05


def test_a_rank_that_dies_is_noticed_by_the_others() -> None:
    answers = _run(3, dies=1)
    assert len(answers) == 2
    assert all("all-reduce failed" in answer[4] for answer in answers)
