"""What holds of every provider file, whatever its vendor; new files are taken in by themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.node import chips
from agents.node.chips.base import ChipContext
from penstock.api.vendors import vendor_table
from tests.host_tree import HostTree

FOLDER = Path(chips.__file__).parent
KEYS = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in chips.NOT_PROVIDERS)


def bare_host(root: Path) -> ChipContext:
    """A host with one processor and nothing else."""
    tree = HostTree(root).socket(0, range(2), 1000, 600).cpuinfo("Acme", "sse2")
    tree.pci("0000:00:00.0", "8086", "060000").memory(1000, 600)
    return ChipContext(vendor_table(), root / "state", "emulated-a100:1", tree.roots, measure=False)


@pytest.fixture
def providers(tmp_path: Path) -> chips.Providers:
    return chips.load(bare_host(tmp_path))


def test_every_provider_file_loads(providers: chips.Providers) -> None:
    assert sorted(providers.by_vendor) == KEYS
    assert providers.dropped == ()


@pytest.mark.parametrize("key", KEYS)
def test_a_provider_keeps_its_contract_on_a_bare_host(key: str, providers: chips.Providers) -> None:
    alone = chips.Providers({key: providers.by_vendor[key]})
    found = chips.probe(alone)
    keys = [it.key for it in found.chips]
    assert {it.vendor for it in found.chips} <= {key}
    assert len(set(keys)) == len(keys)
    assert [it.index for it in found.chips] == list(range(len(keys)))
    assert all(it.type.startswith(f"{key}-") for it in found.chips)
    assert [it.key for it in chips.sample(alone)] == keys
    assert set(chips.holders(alone)) <= set(keys)
    assert [it.key for it in chips.probe(alone).chips] == keys
    assert found.dropped == ()


def test_keys_are_unique_over_all_vendors(providers: chips.Providers) -> None:
    keys = [it.key for it in chips.probe(providers).chips]
    assert len(set(keys)) == len(keys) > 1


def test_every_rate_says_where_it_came_from(providers: chips.Providers) -> None:
    rates = [rate for chip in chips.probe(providers).chips for rate in chip.rates.values()]
    assert rates
    assert all(rate.unit and rate.origin for rate in rates)
