"""The demo: a cloud on this machine, one job over two chip types, one endpoint over two more.

Everything goes through the public command and the public API; this script only narrates, times,
and checks what it shows. Start it with `make demo` (`make demo KEEP=1` leaves the cloud running).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

HERE = Path(__file__).resolve().parent
PENSTOCK = Path(sys.executable).with_name("penstock")
FLEET = "emulated-a100:2,emulated-910b:2,emulated-mlu370:1"
PROMPT = 'def read(self, size):\n    """Return'


class Failed(Exception):
    """A step did not show what it must."""


class Demo:
    """The steps, in order, against one home folder."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.started = time.monotonic()
        self.url = ""
        self.token = ""

    def up(self) -> None:
        say("1. A cloud on this machine: the real CPU, and emulated chips of three vendors' types")
        self.run("up", "--emulate", FLEET)
        self.url = json.loads((self.home / "server.json").read_text())["url"]
        self.token = (self.home / "admin-token").read_text().strip()
        self.run("chip", "list")

    def train(self) -> str:
        say("\n2. One training job over two chip types, its batch split by measured speed")
        self.run("job", "submit", str(HERE / "train.yaml"), "--follow", "--exit-status")
        job = self.get("/api/v1/jobs/tiny-coder")
        result = job["result"]
        held_out, unigram = result["held_out_loss"], result["unigram_loss"]
        say(f"   held-out loss on unseen files {held_out:.3f}, a unigram model's {unigram:.3f}")
        say(f"   chips {', '.join(result['chip_types'])}; checkpoint {result['checkpoint_sha256']}")
        require(job["state"] == "succeeded", f"the job is {job['state']}: {job['message']}")
        require(held_out < unigram, "the held-out loss is not below a unigram model's")
        return str(result["checkpoint_sha256"])

    def serve(self, checkpoint: str) -> None:
        say("\n3. One endpoint, two replicas on different chip types, the checkpoint just trained")
        self.run("job", "submit", str(HERE / "serve.yaml"))
        endpoint = self.wait_for_endpoint("coder")
        self.run("endpoint", "list")
        types = sorted({replica["chip_type"] for replica in endpoint["replicas"]})
        require(len(types) == 2, f"the replicas are on {types}, not on two chip types")
        require(endpoint["manifest_sha256"] == checkpoint, "another checkpoint is served")
        for chip_type in types:
            self.complete(chip_type, checkpoint)

    def complete(self, chip_type: str, checkpoint: str) -> None:
        say(f"   {chip_type}: POST {self.url}/at/{chip_type}/v1/completions")
        body = {
            "model": "coder", "prompt": PROMPT, "max_tokens": 60, "stream": True,
            "temperature": 0.6, "seed": 7,
        }  # fmt: skip
        fingerprints = set()
        sys.stdout.write("      " + PROMPT.replace("\n", "\n      "))
        for event in self.stream(f"/at/{chip_type}/v1/completions", body):
            fingerprints.add(event.get("system_fingerprint"))
            for choice in event["choices"]:
                sys.stdout.write(choice["text"].replace("\n", "\n      "))
                sys.stdout.flush()
        sys.stdout.write("\n")
        require(fingerprints == {checkpoint[:16]}, f"served from {fingerprints}")

    def explain(self) -> None:
        say("\n4. A job that cannot fit, and why it waits")
        self.run("job", "submit", str(HERE / "too-big.yaml"))
        self.run("job", "explain", "too-big")
        self.run("job", "cancel", "too-big")

    def close(self, keep: bool) -> None:
        took = time.monotonic() - self.started
        if keep:
            say(f"\nThe cloud is still running ({took:.0f} s so far). Try:")
            say(f"   export PENSTOCK_HOME={self.home} PATH={PENSTOCK.parent}:$PATH")
            say("   penstock job list; penstock job submit --follow -- echo hello; penstock down")
            say(f"   OpenAI clients: base URL {self.url}/v1, model coder, key in $PENSTOCK_HOME")
        else:
            self.run("down")
            say(f"\nDone in {took:.0f} s. Keep it next time: make demo KEEP=1")

    def wait_for_endpoint(self, name: str, timeout_s: float = 120.0) -> dict[str, Any]:
        deadline = time.monotonic() + timeout_s
        while True:
            endpoint = self.get(f"/api/v1/endpoints/{name}")
            if endpoint["state"] == "ready":
                return endpoint
            if time.monotonic() > deadline:
                why = endpoint["message"]
                raise Failed(f"endpoint {name} is not ready after {timeout_s:.0f} s: {why}")
            time.sleep(0.5)

    def get(self, path: str) -> dict[str, Any]:
        reply = httpx.get(self.url + path, headers=self.headers(), timeout=30)
        reply.raise_for_status()
        document: dict[str, Any] = reply.json()
        return document

    def stream(self, path: str, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        with httpx.stream(
            "POST", self.url + path, json=body, headers=self.headers(), timeout=60
        ) as reply:
            if reply.status_code != 200:
                raise Failed(f"{path}: {reply.status_code} {reply.read().decode()[:500]}")
            for line in reply.iter_lines():
                if line.startswith("data: ") and line != "data: [DONE]":
                    yield json.loads(line[6:])

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def run(self, *arguments: str, check: bool = True) -> None:
        """One penstock command, shown and run."""
        say(f"\n$ penstock {' '.join(arguments)}")
        command = [str(PENSTOCK), "--home", str(self.home), *arguments]
        done = subprocess.run(command, check=False)
        if check and done.returncode != 0:
            raise Failed(f"`penstock {' '.join(arguments)}` ended with {done.returncode}")


def say(text: str) -> None:
    """One line of the story, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def require(truth: bool, otherwise: str) -> None:
    """Stops the demo where it does not show what it must."""
    if not truth:
        raise Failed(otherwise)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the cloud running")
    parser.add_argument("--home", type=Path, default=Path(".demo"), help="folder of the cloud")
    arguments = parser.parse_args()
    demo = Demo(arguments.home.resolve())
    try:
        demo.up()
        demo.serve(demo.train())
        demo.explain()
    except Failed as failure:
        say(f"\ndemo failed: {failure}")
        demo.run("down", check=False)
        return 1
    demo.close(arguments.keep)
    return 0


if __name__ == "__main__":
    sys.exit(main())
