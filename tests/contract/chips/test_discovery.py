"""One vendor's failure, hang or missing row never hides another vendor's chips."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from agents.node import chips
from agents.node.chips.base import ChipContext, ChipProvider, Dropped, ProbeError, ProbeResult
from agents.node.hardware.isolation import Isolated
from penstock.api.chips import ChipReport, ChipSample
from penstock.api.vendors import vendor_table


class Good:
    """A provider of one chip."""

    def probe(self) -> ProbeResult:
        return ProbeResult((ChipReport(key="g0", vendor="good", type="good-1", index=0),))

    def sample(self) -> Sequence[ChipSample]:
        return [ChipSample(key="g0")]

    def holders(self) -> Mapping[str, tuple[int, ...]]:
        return {"g0": (1,)}


class Bad:
    """A provider that fails in every call."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def probe(self) -> ProbeResult:
        raise self._error

    def sample(self) -> Sequence[ChipSample]:
        raise self._error

    def holders(self) -> Mapping[str, tuple[int, ...]]:
        raise self._error


class Hanging(Good):
    """A provider whose library does not return until it is let go."""

    def __init__(self) -> None:
        self.release = threading.Event()

    def sample(self) -> Sequence[ChipSample]:
        self.release.wait(60)
        return []


def together(other: ChipProvider) -> chips.Providers:
    bad: Isolated[ChipProvider] = Isolated("bad", other, chips.EXPECTED)
    good: Isolated[ChipProvider] = Isolated("good", Good(), chips.EXPECTED)
    return chips.Providers({"bad": bad, "good": good})


@pytest.mark.parametrize(
    "error,reason",
    [
        (ProbeError("its driver is not loaded"), "its driver is not loaded"),
        (OSError("no such device"), "no such device"),
        (ZeroDivisionError("oops"), "ZeroDivisionError: oops"),
    ],
)
def test_a_failing_vendor_is_dropped_and_the_others_stay(error: Exception, reason: str) -> None:
    providers = together(Bad(error))
    found = chips.probe(providers)
    assert [it.key for it in found.chips] == ["g0"]
    assert found.dropped == (Dropped("bad", "", reason),)
    assert [it.key for it in chips.sample(providers)] == ["g0"]
    assert chips.holders(providers) == {"g0": (1,)}


def test_a_hanging_vendor_delays_others_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chips, "SAMPLE_TIMEOUT_S", 0.05)
    hanging = Hanging()
    providers = together(hanging)
    assert [it.key for it in chips.sample(providers)] == ["g0"]
    (dropped,) = chips.probe(providers).dropped
    assert "hangs" in dropped.reason
    hanging.release.set()


def test_a_file_without_a_row_or_with_a_fault_is_dropped_with_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(chips.__file__).parent
    (tmp_path / "norow.py").write_text("")
    (tmp_path / "amd.py").write_text("import no_such_vendor_library\n")
    (tmp_path / "biren.py").write_text("def provider(context):\n    return 1 // 0\n")
    (tmp_path / "emulated.py").write_text((folder / "emulated.py").read_text())
    monkeypatch.setattr(chips, "__path__", [str(tmp_path)])
    for key in ("norow", "amd", "biren", "emulated"):
        monkeypatch.delitem(sys.modules, f"agents.node.chips.{key}", raising=False)
    providers = chips.load(ChipContext(vendor_table(), tmp_path), tmp_path)
    for key in ("amd", "biren", "emulated"):
        sys.modules.pop(f"agents.node.chips.{key}", None)
    reasons = {it.vendor: it.reason for it in providers.dropped}
    assert list(providers.by_vendor) == ["emulated"]
    assert reasons["norow"] == "agents/node/chips/norow.py has no row [norow] in the vendor table"
    assert reasons["amd"] == "No module named 'no_such_vendor_library'"
    assert reasons["biren"].startswith("ZeroDivisionError")
