"""Asks the agent's own doctor about this machine; it looks, and changes nothing."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from typing import Any, Final

from penstock.cli.config import child_environment
from penstock.cli.local.checks import Finding, finding
from penstock.cli.local.home import Home
from penstock.cli.session import Session

TIMEOUT_S: Final = 60.0


def check_node(session: Session) -> list[Finding]:
    """The agent's findings about chips, drivers and limits."""
    if importlib.util.find_spec("agents") is None or importlib.util.find_spec("psutil") is None:
        return []  # said already: the part is not installed
    home = Home(session.settings.home)
    agent = home.agent()
    # What the running agent emulates, so that the doctor sees what it sees.
    emulated = agent.option("--emulate") if agent else None
    command = [
        sys.executable,
        "-m",
        "agents",
        "doctor",
        "--json",
        "--state-dir",
        str(home.agent_dir),
        *(["--emulate", emulated] if emulated else []),
    ]
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=TIMEOUT_S, check=False, env=child_environment({})
        )
        found: Any = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError) as error:
        return [finding("error", "agent", f"its doctor failed: {type(error).__name__}")]
    return [{**one, "where": f"node, {one['where']}"} for one in found]
