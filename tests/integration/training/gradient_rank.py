"""One rank of the gradient test: `gradient_rank.py RANK PORT FOLDER SHARES`. Not a test itself."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import safetensors.torch
import torch

from tests.integration.training.gradient_case import batch_rows, new_model
from workloads.training.gradients import accumulate
from workloads.training.parallel.flat import FlatParameters
from workloads.training.parallel.shares import passes_of, span_of
from workloads.training.parallel.sums import StepSums, alone, decode, encode, tail_size
from workloads.transport.gloo import Rendezvous, connect

rank, port = int(sys.argv[1]), int(sys.argv[2])
folder, shares = Path(sys.argv[3]), json.loads(sys.argv[4])
world = len(shares)
torch.set_num_threads(1)
transport = connect(Rendezvous(rank, world, "127.0.0.1", "127.0.0.1", port, timeout_s=60.0))
model = new_model()
flat = FlatParameters(model, tail_size(world))
span = span_of(shares, rank)
rows_BT = batch_rows()[span.start : span.stop]
loss_sum, num_tokens = accumulate(model, rows_BT, passes_of(len(span), 2))
mine = StepSums(loss_sum, num_tokens, 0, 0, alone(1.0, rank, world), alone(0.0, rank, world))
flat.tail.copy_(torch.tensor(encode(mine), dtype=torch.float64))
transport.all_reduce(flat.sums)
sums = decode(flat.tail.tolist(), world)
flat.grads_N.div_(sums.num_tokens)
named = {name: grad.clone() for name, grad in flat.by_name(flat.grads_N).items()}
named["loss"] = torch.tensor([sums.mean_loss], dtype=torch.float64)
safetensors.torch.save_file(named, str(folder / f"rank-{rank}.safetensors"))
transport.agree("end", None)
