"""The launcher that docs/guides/add-a-launcher.md adds to a copy of the source: real processes."""

from __future__ import annotations

from pathlib import Path

from tests.guides import ROOT, follow

RUN = """
import sys, time
from pathlib import Path
sys.path.append(sys.argv[2])
from control_plane.launchers.children import ChildLauncher
from control_plane.services.agents.launch import launch
from dataclasses import replace
from tests.bench.cycles import a_rig
from tests.fakes.cluster import a_task

rig = a_rig(Path(sys.argv[1]))
launcher = ChildLauncher(rig.clock.now)
rig.deps = replace(rig.deps, launchers={"children": launcher})
agent = rig.node("a", launcher="children")
rig.submit(a_task("short", task={"command": ["true"]}))
rig.submit(a_task("fails", task={"command": ["sh", "-c", "exit 3"]}, retry={"limit": 0}))
rig.submit(a_task("long", task={"command": ["sleep", "600"]}, resources={"chips": 0, "cores": 1}))

def until(name, state):
    for _ in range(200):
        rig.clock.advance(1); agent.tick(); rig.sweep(); rig.cycle(); launch(rig.deps)
        if rig.state(name) == state:
            return
        time.sleep(0.02)
    raise AssertionError((name, rig.state(name)))

until("short", "succeeded"); until("fails", "failed"); until("long", "running")
assert rig.job("fails").exit_code == 3
(child,) = [it for it in launcher.children[agent.node_id].values() if it.process.poll() is None]
rig.cancel("long"); until("long", "cancelled")
assert child.process.wait(10) == -15
assert rig.leases() == []
print("all three")
"""


def test_the_launcher_of_the_guide_starts_reports_and_stops(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    copy = follow("add-a-launcher.md", tmp_path / "tree")
    assert copy.run(RUN, str(tmp_path / "data"), str(ROOT)).strip() == "all three"
    assert copy.run("import control_plane.main") == ""
    assert copy.changed() == {"control_plane/launchers/children.py", "control_plane/main.py"}
