"""An uneven gang's gradient is that of one process on the whole batch, in float64."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
from torch import Tensor
from torch.nn import functional as F

from tests.gang import ROOT, free_port
from tests.integration.training.gradient_case import batch_rows, new_model
from workloads.training.gradients import IGNORED

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("shares", [(5, 3, 1), (1, 8)])
def test_an_uneven_gang_gets_the_gradient_of_one_process_on_the_whole_batch(
    shares: tuple[int, ...], tmp_path: Path
) -> None:
    _run_ranks(shares, tmp_path)
    loss, expected = _one_process()
    for rank in range(len(shares)):
        found = safetensors.torch.load_file(str(tmp_path / f"rank-{rank}.safetensors"))
        assert abs(float(found.pop("loss")[0]) - loss) <= 1e-12 * loss
        assert found.keys() == expected.keys()
        for name, gradient in expected.items():
            error = (found[name] - gradient).norm() / gradient.norm()
            assert float(error) <= 1e-12, name


def _one_process() -> tuple[float, dict[str, Tensor]]:
    """Autograd on the mean loss, with nothing of the training engine in between."""
    model = new_model()
    rows_BT = batch_rows()
    logits_BTV = model(rows_BT[:, :-1].clamp_min(0))
    targets_BT = rows_BT[:, 1:]
    loss = F.cross_entropy(
        logits_BTV.flatten(0, 1), targets_BT.flatten(), ignore_index=IGNORED, reduction="mean"
    )
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return loss.item(), gradients


def _run_ranks(shares: tuple[int, ...], folder: Path) -> None:
    port = str(free_port())
    program = str(Path(__file__).with_name("gradient_rank.py"))
    ranks = [
        subprocess.Popen(
            [sys.executable, program, str(rank), port, str(folder), json.dumps(shares)],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        )
        for rank in range(len(shares))
    ]
    try:
        assert [rank.wait(60) for rank in ranks] == [0] * len(shares)
    finally:
        for rank in ranks:
            rank.kill()
            rank.wait()
