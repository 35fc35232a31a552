"""Replicas that run as their project's user: whose they are, what they reach, how they end."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import stat
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agents.boottime import boottime_ns, seconds_ns
from agents.runtimes.base import Launch, NoRoom, StopOrder
from agents.runtimes.process import users
from agents.runtimes.process.environment import Recipe
from agents.runtimes.process.folders import ReplicaFolders
from agents.runtimes.process.isolation import Isolation
from agents.runtimes.process.limits.limiter import Limiter
from agents.runtimes.process.runtime import ProcessRuntime
from agents.runtimes.process.supervisor import files, ownership
from agents.runtimes.process.users import Users
from penstock.api.ids import ReplicaId
from penstock.api.states import ExitReason
from tests.fakes.agent_parts import an_assignment
from tests.integration.agents.agent_process import ROOT, Node, a_node
from tests.integration.agents.supervised import is_alive, wait_for

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        sys.platform != "linux" or os.geteuid() != 0, reason="only root gives projects users"
    ),
]
FIRST = 0x70000000
BLUE, GREEN = 1, 2
OTHERS_PYTHON = "/usr/bin/python3"


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that other users may pass, as pytest's own is not."""
    folder = Path(tempfile.mkdtemp(prefix="penstock-users-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(params=["namespace", "no namespace"])
def runtime(
    request: pytest.FixtureRequest, place: Path, namespaces: bool
) -> Iterator[ProcessRuntime]:
    if request.param == "namespace" and not namespaces:
        pytest.skip("this machine permits no PID namespaces")
    lacks = "" if request.param == "namespace" else "not wanted"
    made = a_runtime(place / "state", Isolation(lacks, Users("", FIRST)))
    yield made
    for replica_id in made.folders.ids():
        wait_for(lambda it=replica_id: has_ended(made, it))  # type: ignore[misc]
        assert asyncio.run(made.forget(replica_id))
    assert list(made.folders.root.iterdir()) == []
    for parent in made._parents:
        parent.wait(10)


def a_runtime(state_dir: Path, isolation: Isolation) -> ProcessRuntime:
    state_dir.mkdir(exist_ok=True, mode=0o700)
    folders = ReplicaFolders(state_dir / "replicas")
    folders.prepare()
    inherited = {"PATH": os.defpath, "HOME": "/agents-own", "USER": "agent"}
    recipe = Recipe(python=sys.executable, inherited=inherited, socket="")
    recipe = replace(recipe, cache=str(state_dir / "cache"))
    passed = (state_dir, folders.root, users.caches(recipe))
    assert users.opened(isolation.users, passed) == isolation.users
    return ProcessRuntime(folders, Limiter(), recipe, isolation=isolation)


def has_ended(runtime: ProcessRuntime, replica_id: ReplicaId) -> bool:
    asyncio.run(runtime.stop(replica_id, StopOrder(ExitReason.STOPPED, 0.0)))
    seen = asyncio.run(runtime.sight(replica_id))
    return seen is not None and seen.exit is not None


def begin(
    runtime: ProcessRuntime, name: str, script: str, number: int | None = BLUE, **fields: Any
) -> Path:
    """Starts a replica of a job of that name; its folder in the storage."""
    job = runtime.folders.root.parents[1] / "storage" / "jobs" / f"job_{name}"
    deadline_ns = boottime_ns() + seconds_ns(fields.pop("lease_s", 60))
    given = an_assignment(
        f"replica_{name}",
        command=("sh", "-c", script),
        project_number=number,
        storage=job.as_uri(),
        **fields,
    )
    asyncio.run(runtime.start(Launch(given, "127.0.0.1:20001", "token", lambda: deadline_ns)))
    return job


def told(runtime: ProcessRuntime, name: str) -> list[str]:
    """The output of a replica, once it has ended."""
    replica_id = ReplicaId(f"replica_{name}")
    wait_for(lambda: (it := asyncio.run(runtime.sight(replica_id))) and it.exit)
    return asyncio.run(runtime.read_log(replica_id, 0, 1 << 16)).decode().splitlines()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_each_project_has_a_user_and_keeps_it(runtime: ProcessRuntime) -> None:
    who = "id -u; id -g; id -G; echo $HOME $USER; pwd; grep NoNewPrivs /proc/self/status; umask"
    begin(runtime, "blue", who)
    begin(runtime, "green", "id -u", GREEN)
    uid, gid, groups, home, folder, privileges, umask = told(runtime, "blue")
    assert (uid, gid) == (str(FIRST + BLUE), str(FIRST + BLUE))
    assert set(groups.split()) == {str(FIRST + BLUE), str(FIRST)}
    assert home == f"{folder} penstock-{uid}"
    assert (privileges.split()[1], umask) == ("1", "0022")
    assert told(runtime, "green") == [str(FIRST + GREEN)]
    later = a_runtime(runtime.folders.root.parent, runtime.isolation)
    begin(later, "again", "id -u")
    assert told(later, "again") == [uid]
    later.close()


def test_a_replica_reaches_its_own_and_nothing_of_the_agent_or_of_others(
    runtime: ProcessRuntime,
) -> None:
    state_dir = runtime.folders.root.parent
    secrets = [state_dir / "credential", state_dir / "join-token", state_dir / "penstock.db"]
    for secret in secrets:
        secret.write_text("secret")
        secret.chmod(0o600)
    theirs = begin(runtime, "green", "echo x > $HOME/x; echo x > ${PENSTOCK_STORAGE#file://}/x", 2)
    assert told(runtime, "green") == []
    other, own = (runtime.folders.path(ReplicaId(f"replica_{name}")) for name in ("green", "blue"))
    closed = [
        *secrets,
        theirs / "x",
        other / "scratch" / "x",
        other / "work.json",
        other / files.SPEC,
        own / files.SPEC,
        own / "assignment.json",
        own / files.LOG,
        own / files.LOCK,
    ]
    listed = [theirs, theirs.parent, state_dir, other, other.parent, own]
    for path in (*closed, *listed):
        assert path.exists() or own in (path, path.parent), path
    script = "".join(f"cat {path} && echo read {path}; " for path in closed)
    script += "".join(f"ls {path} && echo listed {path}; " for path in listed)
    script += f"echo x > {own}/work.json && echo written; touch {own}/new && echo written; "
    script += "cat $PENSTOCK_WORK && echo; cd ${PENSTOCK_STORAGE#file://} && echo x > x && ls; "
    script += "mkdir $PENSTOCK_CACHE_DIR/a && echo cached; echo again > /dev/stdout"
    begin(runtime, "blue", script)
    said = [it for it in told(runtime, "blue") if "denied" not in it]
    assert said == ['{"engine": null, "work": {}}', "x", "cached", "again"]


def test_it_ends_like_any_other(runtime: ProcessRuntime) -> None:
    """With its supervisor too, before anybody else looks: a change of user undoes that order."""
    begin(runtime, "killed", "exec sleep 100", lease_s=2)
    begin(runtime, "expired", "exec sleep 100", lease_s=1)
    begin(runtime, "stopped", "exec sleep 100")
    began = {
        name: wait_for(lambda it=name: runtime.folders.started(ReplicaId(f"replica_{it}")))  # type: ignore[misc]
        for name in ("killed", "expired", "stopped")
    }
    assert os.stat(f"/proc/{began['stopped']['pid']}").st_uid == FIRST + BLUE
    asyncio.run(runtime.stop(ReplicaId("replica_stopped"), StopOrder(ExitReason.STOPPED, 5.0)))
    os.kill(began["killed"]["supervisor_pid"], signal.SIGKILL)
    for name, reason in (("expired", ExitReason.LEASE_EXPIRED), ("stopped", ExitReason.STOPPED)):
        told(runtime, name)
        seen = asyncio.run(runtime.sight(ReplicaId(f"replica_{name}")))
        assert seen is not None
        assert seen.exit is not None
        assert seen.exit.reason is reason
    wait_for(lambda: not any(is_alive(it["pid"]) for it in began.values()))


def test_folders_of_before_are_given_to_the_project_that_uses_them(
    runtime: ProcessRuntime, place: Path
) -> None:
    """And nothing that has a second name elsewhere, nor what a link leads to."""
    jobs = place / "storage" / "jobs"
    for name in ("blue", "source", "other"):
        (jobs / f"job_{name}" / "checkpoints").mkdir(parents=True)
        (jobs / f"job_{name}" / "checkpoints" / "x").write_text(name)
    (place / "agents").write_text("agent's")
    os.link(place / "agents", jobs / "job_blue" / "named-twice")
    (jobs / "job_blue" / "link").symlink_to(place / "agents")
    (place / "storage").chmod(0o700)
    work = {"model_uri": (jobs / "job_source" / "checkpoints").as_uri(), "kind": "checkpoint"}
    script = f"cd {jobs}/job_blue && echo y > checkpoints/y && cat checkpoints/x; echo; "
    script += f"cat {jobs}/job_source/checkpoints/x; echo; cat {jobs}/job_other/checkpoints/x"
    begin(runtime, "blue", script, work=work)
    *said, denied = told(runtime, "blue")
    assert said == ["blue", "source"]
    assert "denied" in denied
    assert (place / "agents").stat().st_uid == 0
    named = {"model_uri": (jobs / "job_other" / "checkpoints").as_uri(), "kind": "huggingface"}
    begin(runtime, "thief", f"ls {jobs}/job_other", GREEN, work=named)
    assert "denied" in told(runtime, "thief")[0]
    assert (mode(jobs), mode(place / "storage"), mode(jobs / "job_other")) == (0o710, 0o710, 0o700)


def test_a_storage_out_of_reach_leaves_all_with_the_agents_user(place: Path) -> None:
    made = a_runtime(place / "state", Isolation("not wanted", Users("", FIRST)))
    far = place / "far" / "deep"
    far.mkdir(parents=True)
    (place / "far").chmod(0o700)
    given = an_assignment(storage=(far / "jobs" / "job_1").as_uri(), command=("id", "-u"))
    deadline_ns = boottime_ns() + seconds_ns(60)
    asyncio.run(made.start(Launch(given, "127.0.0.1:20001", "token", lambda: deadline_ns)))
    why = f"other users may not pass {place / 'far'} (mode 0700)"
    assert made.describe()["users"] == f"the agent's own for all projects: {why}"
    assert files.read_json(str(place / "state"), "storage.json") == {"lacks": why}
    assert told(made, "1") == ["0"]
    made.close()


def test_a_project_without_a_number_waits(place: Path) -> None:
    made = a_runtime(place / "state", Isolation("not wanted", Users("", FIRST)))
    with pytest.raises(NoRoom, match="no number"):
        begin(made, "blue", "id", None)
    assert made.folders.ids() == ()


@pytest.mark.skipif(not Path(OTHERS_PYTHON).exists(), reason=f"there is no {OTHERS_PYTHON}")
def test_an_interpreter_out_of_reach_is_named(place: Path) -> None:
    hidden = place / "hidden"
    hidden.mkdir(mode=0o700)
    (hidden / "python").symlink_to(OTHERS_PYTHON)

    def lack(python: str, state_dir: Path = place / "state") -> str:
        recipe = Recipe(python, {}, str(state_dir / "socket"), library=str(ROOT))
        return users.detect(True, FIRST, recipe, state_dir).lacks

    assert lack(OTHERS_PYTHON) == lack(str(place / "no-engine-here")) == ""
    assert lack(str(hidden / "python")) == f"other users may not pass {hidden} (mode 0700)"
    assert lack(OTHERS_PYTHON, hidden / "state") == lack(str(hidden / "python"))


def facts(node: Node) -> str:
    """What the control plane was last told of users there."""
    inventories = [it.inventory for it in node.fake.heartbeats if it.inventory is not None]
    return inventories[-1].limits["users"]


@pytest.mark.skipif(not Path(OTHERS_PYTHON).exists(), reason=f"there is no {OTHERS_PYTHON}")
def test_an_agent_of_root_runs_them_adopts_them_and_hears_them(place: Path) -> None:
    speak = (
        "import json, os, socket; s = socket.socket(socket.AF_UNIX); "
        "s.connect(os.environ['PENSTOCK_AGENT_SOCKET']); "
        "s.sendall(json.dumps({'replica_id': os.environ['PENSTOCK_REPLICA_ID'], 'op': 'result', "
        "'token': os.environ['PENSTOCK_AGENT_TOKEN'], 'result': {'uid': os.getuid()}})"
        ".encode() + b'\\n'); print(s.recv(100).decode())"
    )
    with a_node(place) as node:
        node.start("--workload-python", OTHERS_PYTHON, "--join-token", node.fake.join_token)
        assert "one for each project" in facts(node)
        storage = (place / "storage" / "jobs" / "job_1").as_uri()
        script = f'{OTHERS_PYTHON} -c "{speak}"; cat {node.state_dir}/credential; exec sleep 100'
        node.run("replica_1", script, storage=storage)
        node.prints("replica_1", b"denied")
        assert b'"ok": true' in node.fake.logs["replica_1"]
        pid = node.started("replica_1")["pid"]
        node.send(signal.SIGKILL)
        node.start("--workload-python", sys.executable, PENSTOCK_AGENT_PROJECT_USERS="false")
        assert facts(node).endswith("switched off by the agent's settings")
        node.run("replica_2", "id -u", storage=storage)
        node.logged("replica_2", b"0\n")
        assert is_alive(pid)
        assert os.stat(f"/proc/{pid}").st_uid == FIRST + 1
        assert mode(node.state_dir / "credential") == 0o600
        assert ownership.obstacle(str(node.state_dir / "workload.sock"), FIRST + 1, [FIRST]) == ""
