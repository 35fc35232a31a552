"""What a replica finds in its environment, and what it does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from agents.runtimes.base import Launch
from agents.runtimes.process.environment import Recipe, command_of, environment_of
from penstock.api.chips import ChipReport
from penstock.api.vendors import Vendor
from tests.fakes.agent_parts import a_chip, an_assignment

VENDORS = {
    "acme": Vendor(title="Acme", visibility_variable="ACME_VISIBLE"),
    "other": Vendor(title="Other", visibility_variable="OTHER_VISIBLE", visibility_by="uuid"),
}
RECIPE = Recipe(
    python="/opt/venv/bin/python",
    inherited={"PATH": "/bin", "LANG": "C"},
    socket="/run/s",
    library="/src",
    vendors=VENDORS,
)
CHIPS = tuple(ChipReport(key=f"a{n}", vendor="acme", type="acme-1", index=n) for n in range(3))
OTHER = ChipReport(key="o0", vendor="other", type="other-1", index=0, uuid="U-0")


def environment(**fields: Any) -> dict[str, str]:
    launch = Launch(an_assignment(**fields), "10.0.0.1:20001", "token", lambda: 0)
    return environment_of(launch, RECIPE, (*CHIPS, OTHER), Path("/state/work.json"))


def test_the_contract_of_a_replica_is_complete() -> None:
    env = environment(rank=1, world_size=4, master="10.0.0.2:20007", epoch=3)
    expected = {
        "PENSTOCK_JOB_ID": "job_1", "PENSTOCK_JOB_NAME": "job", "PENSTOCK_PROJECT": "default",
        "PENSTOCK_REPLICA_ID": "replica_1", "PENSTOCK_EPOCH": "3", "RANK": "1", "WORLD_SIZE": "4",
        "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1", "MASTER_ADDR": "10.0.0.2",
        "MASTER_PORT": "20007", "PENSTOCK_HOST": "10.0.0.1", "PENSTOCK_PORT": "20001",
        "PENSTOCK_AGENT_SOCKET": "/run/s", "PENSTOCK_AGENT_TOKEN": "token",
        "PENSTOCK_WORK": "/state/work.json", "OMP_NUM_THREADS": "1",
        "PENSTOCK_STORAGE": "memory://jobs/job_1",
    }  # fmt: skip
    assert {name: env[name] for name in expected} == expected
    assert json.loads(env["PENSTOCK_CHIPS"]) == []


def test_rank_0_is_its_own_master() -> None:
    env = environment(rank=0, world_size=2, master="10.0.0.9:1")
    assert (env["MASTER_ADDR"], env["MASTER_PORT"]) == ("10.0.0.1", "20001")


def test_the_user_may_change_our_defaults_but_not_our_promises() -> None:
    env = environment(env={"OMP_NUM_THREADS": "7", "RANK": "9", "MINE": "x", "ACME_VISIBLE": "all"})
    assert (env["OMP_NUM_THREADS"], env["RANK"], env["MINE"]) == ("7", "0", "x")
    assert env["ACME_VISIBLE"] == ""


def test_a_replica_sees_its_own_chips_only() -> None:
    env = environment(chips=(a_chip(2, key="a2", vendor="acme"), a_chip(0, key="a0")))
    assert (env["ACME_VISIBLE"], env["OTHER_VISIBLE"]) == ("0,2", "")
    env = environment(chips=(a_chip(0, key="o0", vendor="other"),))
    assert (env["ACME_VISIBLE"], env["OTHER_VISIBLE"]) == ("", "U-0")


def test_a_share_of_cores_gives_whole_threads() -> None:
    assert environment(cores_milli=2500)["OMP_NUM_THREADS"] == "3"
    assert environment(cores_milli=0)["OMP_NUM_THREADS"] == "1"


def test_the_agents_interpreter_is_found_last() -> None:
    assert environment()["PATH"] == "/bin:/opt/venv/bin"
    assert environment()["LANG"] == "C"


def test_the_engine_runs_where_the_user_gave_no_command() -> None:
    task = an_assignment(command=("sh", "-c", "exit 3"))
    assert command_of(task, RECIPE) == ["sh", "-c", "exit 3"]
    assert "PYTHONPATH" not in environment()
    engine = an_assignment(command=None, engine="serve")
    assert command_of(engine, RECIPE) == ["/opt/venv/bin/python", "-m", "workloads", "serve"]
    assert environment(command=None, engine="serve")["PYTHONPATH"] == "/src"
