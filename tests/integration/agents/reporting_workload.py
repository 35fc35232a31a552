"""A workload that says everything a workload can say to its agent. Run by a test as a replica."""

import json
import os
import socket
from typing import Any


def main() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as agent:
        agent.connect(os.environ["PENSTOCK_AGENT_SOCKET"])
        with agent.makefile("rw", encoding="utf-8") as lines:
            for step in range(8):
                _say(lines, "progress", progress={"step": step})
            _say(lines, "speed", speed={"work_class": "train/x", "value": 2.0})
            _say(lines, "commit_checkpoint", step=7, uri="memory://x", manifest_sha256="b" * 64)
            _say(lines, "result", result={"loss": 1.25})


def _say(lines: Any, op: str, **content: Any) -> None:
    identity = {
        "replica_id": os.environ["PENSTOCK_REPLICA_ID"],
        "token": os.environ["PENSTOCK_AGENT_TOKEN"],
    }
    lines.write(json.dumps({"op": op, **identity, **content}) + "\n")
    lines.flush()
    reply = json.loads(lines.readline())
    assert reply["ok"], reply


if __name__ == "__main__":
    main()
