"""The doctor on hosts built for it: what is there, what is missing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from agents import doctor
from agents.doctor import Finding
from agents.node.chips.base import ChipContext
from penstock.api.vendors import vendor_table
from tests.host_tree import HostTree

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tree(tmp_path: Path) -> HostTree:
    host = HostTree(tmp_path).socket(0, range(2), 1000, 600).memory(1000, 600)
    return host.cpuinfo("Acme One", "sse2").pci("0000:00:00.0", "8086", "060000")


def examine(tree: HostTree, emulated: str = "") -> list[Finding]:
    state = tree.root / "state"
    context = ChipContext(vendor_table(), state, emulated, tree.roots, measure=False)
    return list(doctor.examine(context, {"cpu": "cgroup v2"}))


def test_a_plain_host_has_its_processor_its_limits_and_nothing_to_complain_of(
    tree: HostTree,
) -> None:
    found = examine(tree)
    assert [(it.level, it.where) for it in found] == [
        ("ok", "cpu"),
        ("info", "limit on cpu"),
        ("ok", "state folder"),
    ]
    assert found[1].what == "cgroup v2"


def test_chips_of_a_vendor_without_provider_are_seen_on_the_bus(tree: HostTree) -> None:
    tree.pci("0000:81:00.0", "19e5", "120000").pci("0000:82:00.0", "19e5", "120000")
    tree.pci("0000:01:00.0", "19e5", "030000").node("davinci_manager")
    found = [it for it in examine(tree) if it.where == "ascend, 2 on the PCI bus"]
    assert [it.level for it in found] == ["warning", "error", "info"]
    assert "Huawei Ascend (CANN)" in found[0].what
    assert "libdcmi.so" in found[1].what
    assert "npu-smi" in found[2].what


def test_network_cards_of_a_chip_maker_are_not_taken_for_chips(tree: HostTree) -> None:
    tree.pci("0000:02:00.0", "8086", "020000").pci("0000:03:00.0", "1d0f", "020000")
    assert not [it for it in examine(tree) if "PCI bus" in it.where]


def test_a_misspelt_fleet_is_a_warning_that_names_the_nearest_type(tree: HostTree) -> None:
    (found,) = [it for it in examine(tree, "emulated-a10:1") if it.level == "warning"]
    assert found.where == "emulated"
    assert "Did you mean emulated-a100?" in found.what
    assert found.advice


def run_doctor(*options: str) -> tuple[int, list[dict[str, str]]]:
    done = subprocess.run(
        [sys.executable, "-m", "agents", "doctor", "--json", *options],
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=False,
        timeout=60,
    )
    return done.returncode, json.loads(done.stdout)


def test_the_command_prints_one_document_about_this_machine(tmp_path: Path) -> None:
    code, found = run_doctor("--state-dir", str(tmp_path), "--emulate", "emulated-910b:1")
    assert code == int(any(it["level"] == "error" for it in found))
    assert all(set(it) == {"level", "what", "where", "advice"} for it in found)
    told = {it["where"]: it["what"] for it in found}
    assert told["emulated"].startswith("1 × emulated-910b, emulated: ")
    assert "state folder" in told
    assert list(tmp_path.iterdir()) == []


def test_wrong_settings_are_findings_and_no_traceback(tmp_path: Path) -> None:
    code, found = run_doctor("--state-dir", str(tmp_path), "--name", "No Name", "--labels", "x")
    assert code == 1
    assert {it["where"] for it in found} == {"name", "labels"}
