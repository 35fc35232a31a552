"""What a storm's job runs: it leaves evidence of when it ran, outside the cloud's folders.

Standard library only. One file per process: its first line says who it is, each further one is
a moment of the boot clock, the last one `end`. `beat.py FOLDER SECONDS [stubborn|stray|freeze]`.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress

EVERY_S = 0.05


def main(folder: str, seconds: float, manner: str) -> None:
    if manner == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    is_stray = manner == "stray" and os.fork() == 0
    if is_stray:
        os.setsid()
        if os.fork():
            os._exit(0)
    beat(folder, seconds, "stray" if is_stray else manner)


def beat(folder: str, seconds: float, manner: str) -> None:
    env, now = os.environ, time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    who = (env["PENSTOCK_JOB_ID"], env["PENSTOCK_REPLICA_ID"], env["PENSTOCK_EPOCH"], env["RANK"])
    until, hurry = now + int(seconds * 1e9), os.path.join(folder, "hurry")
    parent = os.getppid()
    path = os.path.join(folder, f"{who[1]}.{now}.{os.getpid()}.run")
    with open(path, "x", encoding="utf-8", buffering=1) as file:
        file.write(" ".join((*who, manner)) + "\n")
        while now < until:
            file.write(f"{now}\n")
            if manner == "freeze":
                with suppress(OSError):
                    os.kill(parent, signal.SIGSTOP)
            if manner in ("plain", "stubborn") and os.path.exists(hurry):
                break
            time.sleep(EVERY_S)
            now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        file.write("end\n")


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), sys.argv[3])
