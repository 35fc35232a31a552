"""The configuration guide says what the settings say."""

from __future__ import annotations

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_configuration_guide_is_current() -> None:
    path = ROOT / "deploy" / "docs" / "configuration.py"
    spec = importlib.util.spec_from_file_location("configuration_page", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    written = (ROOT / "docs" / "guides" / "configuration.md").read_text(encoding="utf-8")
    assert written == module.page(), "run: python deploy/docs/configuration.py"
