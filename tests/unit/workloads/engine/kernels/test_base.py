"""Backends of kernels are the folders that are there; what has none runs on plain torch."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest

from workloads.engine.kernels import base
from workloads.engine.kernels.reference import ReferenceOps


@pytest.mark.parametrize("backend", ["", "cpu", "cuda", "base", "no-such-backend"])
def test_a_backend_without_a_folder_runs_on_plain_torch(backend: str) -> None:
    assert isinstance(base.load_ops(backend), ReferenceOps)


def test_a_folder_is_found_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that is named is imported and asked for its operations; no list is edited."""
    mine = ReferenceOps()
    planted = [SimpleNamespace(name="tidal", ispkg=True)]
    monkeypatch.setattr("pkgutil.iter_modules", lambda path: planted)
    module = ModuleType("workloads.engine.kernels.tidal")
    module.ops = lambda: mine  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    assert base.load_ops("tidal") is mine
