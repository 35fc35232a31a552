"""What a training job consists of between two steps: model, optimizer, and how they are kept.

Every rank holds all of it; rank 0 writes and reads it on storage for the others.
"""

from __future__ import annotations

from typing import Final

import torch

from penstock.api.specs import ShareStep, TrainSpec
from workloads.checkpoints.files import (
    Written,
    checkpoint_uri,
    model_document,
    read_tensors,
    write_checkpoint,
)
from workloads.checkpoints.manifest import MODEL, OPTIMIZER, CheckpointError, DataPosition, Manifest
from workloads.models.config import LlamaConfig, config_of_shape
from workloads.models.llama import Llama, init_weights
from workloads.training.optimizer import AdamW
from workloads.training.parallel.flat import FlatParameters
from workloads.training.parallel.sums import tail_size
from workloads.transport.gloo import Transport

FIRST: Final = "first_moment."
SECOND: Final = "second_moment."
RNG: Final = "rng.torch"


class TrainState:
    """Model and optimizer on flat rows."""

    def __init__(self, spec: TrainSpec, world_size: int) -> None:
        self.config: LlamaConfig = config_of_shape(spec.model)
        self.model = Llama(self.config)
        init_weights(self.model, spec.seed)
        self.flat = FlatParameters(self.model, tail_size(world_size))
        self.optimizer = AdamW(self.flat.values_N, self.flat.num_decayed)

    def sync(self, transport: Transport) -> None:
        """Gives every rank rank 0's state: chips of different make may round differently."""
        for row_N in (self.flat.values_N, self.optimizer.first_N, self.optimizer.second_N):
            transport.broadcast(row_N)

    def restore(self, uri: str, manifest: Manifest) -> None:
        """Fills the state from a checkpoint; raises CheckpointError where it does not fit."""
        if manifest.model != model_document(self.config):
            raise CheckpointError(f"{uri} holds a model of another shape than train.model asks for")
        model = read_tensors(uri, manifest, MODEL)
        optimizer = read_tensors(uri, manifest, OPTIMIZER)
        try:
            self.flat.copy_from(self.flat.values_N, model)
            self.flat.copy_from(self.optimizer.first_N, _with_prefix(optimizer, FIRST))
            self.flat.copy_from(self.optimizer.second_N, _with_prefix(optimizer, SECOND))
            torch.set_rng_state(optimizer[RNG])
        except (KeyError, ValueError) as error:
            raise CheckpointError(f"{uri} does not hold the state of this model: {error}") from None

    def save(self, storage: str, manifest: Manifest, tokenizer: bytes) -> Written:
        """Writes the state as the checkpoint of the manifest's step and epoch."""
        uri = checkpoint_uri(storage, manifest.step, manifest.epoch)
        flat = self.flat
        optimizer = {RNG: torch.get_rng_state()}
        for prefix, row_N in ((FIRST, self.optimizer.first_N), (SECOND, self.optimizer.second_N)):
            named = flat.by_name(row_N)
            optimizer |= {prefix + name: tensor for name, tensor in named.items()}
        return write_checkpoint(uri, manifest, flat.by_name(flat.values_N), optimizer, tokenizer)


def manifest_of(
    job: tuple[str, int],
    spec: TrainSpec,
    config: LlamaConfig,
    data: DataPosition,
    shares: list[ShareStep],
    world_size: int,
) -> Manifest:
    """The manifest of a checkpoint before its files are known; `job` is job id and epoch."""
    return Manifest(
        step=data.next_step,
        job_id=job[0],
        epoch=job[1],
        files={},
        rng={"torch": f"{OPTIMIZER}:{RNG}", "seed": spec.seed},
        data=data,
        shares=tuple(shares),
        model=model_document(config),
        train=spec.model_dump(mode="json"),
        world_size=world_size,
    )


def _with_prefix(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
