"""Records a cloud of the release before: its database, state folders, storage and answers.

    python -m tests.integration.upgrade.record

runs about three minutes and writes `recorded.tar.xz` beside this file; Linux, as root (the machine
is given a name of its own). It is to be run again only to record another release.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
import sys
import tarfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import httpx

from penstock.api.jobs import Job
from penstock.api.tokens import TokenRequest
from penstock.client.synchronous import Client
from tests.e2e import processes
from tests.e2e.corpus import write_prose
from tests.e2e.processes import eventually
from tests.e2e.rig import QUICK, Cloud
from tests.integration.upgrade.release import unpack
from tests.integration.upgrade.transcript import Exchange, save, taken_down

PLACE: Final = Path("/tmp/penstock-recorded")
"""Where it runs: this path, and no other of the machine, is in what is recorded."""
RECORDED: Final = Path(__file__).with_name("recorded.tar.xz")
LEFT_OUT: Final = ("logs", "prose")
NUM_QUICK: Final = 1000
FIRST, OTHER = "emulated-a100", "emulated-mi300x"
SMALL: Final = {"cores": 0.1, "host_memory": "64MiB"}
MODEL: Final = {
    "num_layers": 1, "hidden_size": 8, "num_heads": 2, "num_kv_heads": 1,
    "intermediate_size": 8, "vocab_size": 260, "max_seq_len": 32,
}  # fmt: skip
SETTINGS: Final = {**QUICK, "PENSTOCK_SERVER_WEBHOOK_ALLOW_PRIVATE": "true"}


def main() -> None:
    """Runs itself again under names that say nothing about the machine."""
    if Path(sys.prefix) != PLACE / "venv":
        shutil.rmtree(PLACE, ignore_errors=True)
        PLACE.mkdir(mode=0o755)
        (PLACE / "venv").symlink_to(sys.prefix)
        python = PLACE / "venv" / "bin" / "python"
        again = f'hostname recorded && exec "{python}" -m {__spec__.name}'
        clean = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
        os.execve("/usr/bin/unshare", ["unshare", "--uts", "sh", "-c", again], clean)
    tree = unpack(PLACE / "release")
    home = PLACE / "home"
    home.mkdir()
    cloud = Cloud(home, SETTINGS, tree)
    try:
        record(cloud)
    except BaseException:
        print(cloud.tails())
        raise
    finally:
        processes.end_by_force(processes.of_folder(home))
        shutil.rmtree(PLACE)


def record(cloud: Cloud) -> None:
    cloud.start_server()
    with taken_down(cloud.port) as (way, exchanges):
        cloud.add_node("first", f"{FIRST}:3", "--no-cpu-chip", via=way)
        cloud.add_node("other", f"{OTHER}:1", "--no-cpu-chip")
        _accounts(cloud)
        ended = [*_ended_jobs(cloud), *_trained(cloud)]
        _serve(cloud)
        _quick_jobs(cloud)
        running = _running_jobs(cloud)
        answers = _answers(cloud, ended, running)
        for daemon in (cloud.server, *(node.daemon for node in cloud.nodes.values())):
            daemon.kill()
    processes.end_by_force(processes.of_folder(cloud.home))
    save(_kinds(exchanges), cloud.home / "transcript.jsonl")
    (cloud.home / "answers.json").write_text(json.dumps(answers, separators=(",", ":")))
    _dump(cloud.home / "penstock.db")
    _pack(cloud.home)


def _accounts(cloud: Cloud) -> None:
    """Tenants, tokens, a queue with a limit, and a node that is gone."""
    client = cloud.client
    client.projects.create("vision")
    member = client.tokens.create(TokenRequest(name="ann", project="vision"))
    client.tokens.revoke(client.tokens.create(TokenRequest(name="bob", project="vision")).id)
    client.queues.set_limits("batch", {"any": 2})
    with Client(cloud.url, member.secret) as ann:
        ann.jobs.submit(_task("theirs", ["echo", "from another project"], queue="batch"))
        ann.jobs.wait("theirs", 60)
    gone = cloud.add_node("gone", f"{FIRST}:1", "--no-cpu-chip")
    gone.daemon.end()
    client.nodes.cordon("gone")
    eventually(lambda: client.nodes.get("gone").health.state == "lost", "it is lost")
    client.nodes.retire("gone")


def _task(name: str, command: list[str], **more: Any) -> dict[str, Any]:
    return {"type": "task", "name": name, "task": {"command": command}, "resources": SMALL, **more}


def _ended_jobs(cloud: Cloud) -> list[str]:
    """Every way in which a job ends."""
    jobs = cloud.client.jobs
    chips = {"chip": FIRST, "chips": 3}
    hook = {"notify": {"webhook": "http://127.0.0.1:9/ended"}}
    jobs.submit(_task("talks", ["seq", "3000"], labels={"team": "red"}), idempotency_key="once")
    jobs.submit(_task("fails", ["sh", "-c", "echo so; exit 3"], retry={"limit": 1}, **hook))
    jobs.submit(_task("too-long", ["sleep", "600"], max_duration="1s"))
    jobs.submit(_task("called-off", ["sleep", "600"], disconnect_grace="30s"))
    jobs.submit(_task("never", ["true"], resources={"chip": FIRST, "chips": 50}))
    jobs.submit(_task("waits", ["true"], resources={"chip": FIRST, "chips": 60}))
    jobs.submit(_task("pair", ["sh", "-c", "echo rank $PENSTOCK_RANK"], task=_PAIR))
    cloud.await_job("called-off", "running")
    jobs.cancel("called-off", because="no longer needed")
    jobs.cancel("never")
    jobs.submit(_task("pushed-out", ["sleep", "600"], priority=10, resources=chips))
    cloud.await_job("pushed-out", "running")
    jobs.submit(_task("urgent", ["sleep", "1"], priority=90, resources=chips))
    jobs.wait("urgent", 60)
    eventually(lambda: jobs.get("pushed-out").attempt == 2, "it starts again")
    cloud.await_job("pushed-out", "running")
    jobs.cancel("pushed-out")
    names = ["talks", "fails", "too-long", "called-off", "never", "pair", "urgent", "pushed-out"]
    ended = [jobs.wait(name, 60) for name in names]
    again = jobs.wait(jobs.retry("fails").id, 60)
    return [*(job.id for job in ended), again.id]


_PAIR: Final = {"command": ["sh", "-c", "echo rank $PENSTOCK_RANK"], "replicas": 2}


def _trained(cloud: Cloud) -> list[str]:
    """One job over both chip types."""
    write_prose(cloud.home / "prose", num_files=4)
    cloud.submit("train", name="learn", train=_train(cloud, steps=30, every=15), resources=_MIXED)
    return [cloud.await_job("learn", "succeeded", within_s=120).id]


_MIXED: Final = {"chips": 2, "chip": [FIRST, OTHER], "mix": True}


def _train(cloud: Cloud, steps: int, every: int) -> dict[str, Any]:
    return {
        "model": MODEL, "data": str(cloud.home / "prose"), "steps": steps, "batch_size": 4,
        "micro_batch": 2, "checkpoint_every": every,
    }  # fmt: skip


def _serve(cloud: Cloud) -> None:
    """An endpoint that has answered, so that tokens are counted."""
    one = {"chip": FIRST, "chips": 1}
    cloud.submit("serve", name="chat", serve={"model": "job:learn"}, resources=one)
    eventually(lambda: cloud.client.endpoints.get("chat").state == "ready", "it serves", 90)
    headers = {"Authorization": f"Bearer {cloud.token}"}
    body = {"model": "chat", "prompt": "the chip", "max_tokens": 5, "ignore_eos": True}
    for _ in range(3):
        url = f"{cloud.url}/v1/completions"
        httpx.post(url, json=body, headers=headers, timeout=30).raise_for_status()


def _quick_jobs(cloud: Cloud) -> None:
    """Without an Idempotency-Key each: a thousand random keys would be a fifth of the file."""
    headers = {"Authorization": f"Bearer {cloud.token}"}

    def submit(number: int) -> None:
        job = _task(f"quick-{number}", ["true"])
        url = f"{cloud.url}/api/v1/jobs"
        httpx.post(url, json=job, headers=headers, timeout=60).raise_for_status()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(submit, range(NUM_QUICK)))
    eventually(lambda: _num_live(cloud, "queued") == 1, "only `waits` is left", 300, 1.0)
    eventually(lambda: _num_live(cloud, "starting", "running", "stopping") == 1, "all", 60, 1.0)


def _num_live(cloud: Cloud, *states: str) -> int:
    return sum(1 for state in states for _ in cloud.client.jobs.list(state=state))


def _running_jobs(cloud: Cloud) -> list[str]:
    """What runs when all is killed."""
    script = 'i=0; while :; do echo "line $i"; i=$((i+1)); sleep 0.2; done'
    cloud.client.jobs.submit(_task("count", ["sh", "-c", script]))
    train = _train(cloud, steps=10**6, every=10**4)
    cloud.submit("train", name="learn-on", train=train, resources=_MIXED)
    jobs = [cloud.await_job(name, "running") for name in ("count", "learn-on", "chat")]
    time.sleep(5)
    return [job.id for job in jobs]


def _answers(cloud: Cloud, ended: Iterable[str], running: Iterable[str]) -> dict[str, Any]:
    """What the release says of everything: path to document."""
    headers = {"Authorization": f"Bearer {cloud.token}"}
    with httpx.Client(base_url=f"{cloud.url}/api/v1", headers=headers, timeout=30) as http:

        def get(path: str) -> Any:
            reply = http.get(path)
            reply.raise_for_status()
            return reply.json()

        paths = ["/nodes", "/chips", "/queues", "/projects", "/tokens", "/endpoints"]
        for job in ended:
            paths += [f"/jobs/{job}{part}" for part in ("", "/events", "/replicas", "/checkpoints")]
        paths += [f"/jobs/{job}/replicas" for job in running]
        logs = {f"/jobs/{job}/logs": http.get(f"/jobs/{job}/logs").text for job in ended}
        found = {path: get(path) for path in paths}
    every = [_brief(job) for job in cloud.client.jobs.list(sort="created_at")]
    return {"documents": found, "logs": logs, "jobs": every}


def _brief(job: Job) -> list[Any]:
    return [job.id, job.name, job.state, job.reason, job.attempt, job.exit_code]


def _kinds(exchanges: list[Exchange]) -> list[Exchange]:
    """The first and the last dozen of each kind: each is said a thousand times."""
    found: dict[str, list[Exchange]] = {}
    for one in exchanges:
        found.setdefault(f"{one.method} {one.path.partition('?')[0]}", []).append(one)
    return [one for kind in found.values() for one in (kind[:12] + kind[12:][-12:])]


def _dump(database: Path) -> None:
    """As statements it is half as large; the write-ahead log of the killed server is in it."""
    with closing(sqlite3.connect(database)) as connection:
        database.with_suffix(".sql").write_text("\n".join(connection.iterdump()), encoding="utf-8")
    for file in database.parent.glob(f"{database.name}*"):
        file.unlink()


def _pack(home: Path) -> None:
    with tarfile.open(RECORDED, "w:xz", preset=9) as archive:
        for path in sorted(home.rglob("*")):
            name = path.relative_to(home)
            if stat.S_ISREG(path.lstat().st_mode) and name.parts[0] not in LEFT_OUT:
                archive.add(path, str(name), filter=_plain)
    print(f"{RECORDED}: {RECORDED.stat().st_size // 1000} kB")


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = 0
    return member


if __name__ == "__main__":
    main()
