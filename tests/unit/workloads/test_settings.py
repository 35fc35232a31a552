"""The process contract of a replica."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from workloads.main import main
from workloads.settings import read_settings

CHIP = {
    "chip_id": "chip_1", "key": "0", "vendor": "emulated", "type": "emulated-a100", "index": 0,
    "milli": 1000, "emulated": True, "cores_milli": 500, "link_bytes_per_s": 1e9,
}  # fmt: skip
ENVIRONMENT = {
    "PENSTOCK_JOB_ID": "job_1", "PENSTOCK_REPLICA_ID": "replica_1", "PENSTOCK_EPOCH": "3",
    "RANK": "1", "WORLD_SIZE": "4", "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "4000",
    "PENSTOCK_STORAGE": "file:///data/jobs/job_1", "PENSTOCK_CHIPS": json.dumps([CHIP]),
    "PENSTOCK_AGENT_TOKEN": "hidden", "HOME": "/h/user", "LANG": "C",
}  # fmt: skip


def test_a_replica_reads_who_it_is() -> None:
    settings = read_settings(ENVIRONMENT)
    assert (settings.epoch, settings.rank, settings.world_size) == (3, 1, 4)
    assert (settings.master_addr, settings.master_port) == ("10.0.0.1", 4000)
    assert settings.chip_type == "emulated-a100"
    assert str(settings.cache_dir) == "/h/user/.cache/penstock"


def test_only_an_emulated_chip_has_its_link_limited() -> None:
    real = json.dumps([{**CHIP, "emulated": False}])
    assert read_settings(ENVIRONMENT).link_bytes_per_s == 1e9
    assert read_settings({**ENVIRONMENT, "PENSTOCK_CHIPS": real}).link_bytes_per_s is None


def test_the_replicas_secret_is_not_shown() -> None:
    assert "hidden" not in repr(read_settings(ENVIRONMENT))


def test_a_replica_without_storage_does_not_start() -> None:
    without = {key: value for key, value in ENVIRONMENT.items() if key != "PENSTOCK_STORAGE"}
    with pytest.raises(ValidationError, match="storage"):
        read_settings(without)


def test_an_unknown_engine_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fly"]) == 2
    assert "train|serve" in capsys.readouterr().err
