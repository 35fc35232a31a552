"""A node that has an agent, and not what Penstock's own engine needs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.agent_socket import FakeAgent
from tests.gang import ROOT
from tests.unit.workloads.test_settings import ENVIRONMENT

WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
from workloads.main import main
sys.exit(main([sys.argv[1]]))
"""


@pytest.mark.parametrize("engine", ["train", "serve"])
def test_what_is_missing_is_said_and_not_thrown(engine: str, agent: FakeAgent) -> None:
    env = {**ENVIRONMENT, "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    work = Path(agent.path).with_name("work.json")
    model = {"model_uri": "/nowhere", "model_name": "m", "kind": "huggingface"}
    work.write_text(f'{{"engine": "{engine}", "work": {str(model).replace(chr(39), chr(34))}}}')
    env |= {"PENSTOCK_AGENT_SOCKET": str(agent.path), "PENSTOCK_WORK": str(work)}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, engine],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = done.stdout + done.stderr
    assert "this node lacks torch" in said, said
    assert "Traceback" not in said
    assert done.returncode in (1, 2)
    (failed,) = (it for it in agent.heard if it["op"] == "failed")
    assert failed["code"] == "not_installed"
    assert "penstock[workload]" in str(failed["message"])
