"""One checkpoint and one ready replica for all tests that do not end it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.integration.serving.model_folders import SHAPE, a_model, write_penstock_checkpoint
from tests.integration.serving.replica import Replica, serving
from workloads.models.config import config_of_shape
from workloads.models.llama import Llama


@dataclass(frozen=True)
class LongCheckpoint:
    """A checkpoint whose context is long enough to be interrupted in."""

    folder: Path
    manifest_sha256: str
    model: Llama

    def work(self, **extra: Any) -> dict[str, Any]:
        return {
            "model_uri": self.folder.as_uri(),
            "manifest_sha256": self.manifest_sha256,
            "model_name": "tiny",
            "kind": "checkpoint",
            **extra,
        }


@pytest.fixture(scope="session")
def long_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> LongCheckpoint:
    config = replace(config_of_shape(SHAPE), max_position_embeddings=4096)
    folder = tmp_path_factory.mktemp("storage") / "step-00000007-e1"
    written = write_penstock_checkpoint(folder, config)
    return LongCheckpoint(folder, written.manifest_sha256, a_model(config))


@pytest.fixture(scope="session")
def replica(
    long_checkpoint: LongCheckpoint, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Replica]:
    with serving(tmp_path_factory.mktemp("replica"), long_checkpoint.work()) as running:
        yield running
