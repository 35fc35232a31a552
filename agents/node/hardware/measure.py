"""A short program that measures the processors it is pinned to, then writes what it found.

It runs as a child of its own, so that neither its buffers nor NumPy stay in the agent's memory.
Without NumPy only memory is measured: arithmetic in plain Python says nothing of the processor.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import Any, Final

BUDGET_S: Final = 0.25
"""How long each figure is measured; the best run counts, since noise only ever slows one down."""
COPY_BYTES: Final = 2**27
MATRIX: Final = 1024
LIFETIME_S: Final = 30
PARENT_LOOK_S: Final = 0.2


def main(argv: Sequence[str] | None = None) -> None:
    """Measures and writes `--out` in one rename, so that a reader never sees half a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cpus", required=True, help="logical CPUs, comma-separated")
    parser.add_argument("--identity", required=True, help="written into the file as it is")
    parser.add_argument("--out", required=True, type=Path)
    args = parser.parse_args(argv)
    signal.alarm(LIFETIME_S)
    Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    cpus = {int(cpu) for cpu in args.cpus.split(",")}
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cpus)
    document = {
        "identity": args.identity,
        "measured_at": datetime.now(UTC).isoformat(),
        "rates": measure(len(cpus)),
    }
    draft = args.out.with_suffix(f".{os.getpid()}")
    draft.write_text(json.dumps(document))
    draft.replace(args.out)


def measure(num_cpus: int) -> dict[str, tuple[float, str]]:
    """Rates by key, each with its unit: `memory` in B/s, `flops.<dtype>` in FLOP/s."""
    if find_spec("numpy") is None:
        return {"memory": (_plain_copy_rate(), "B/s")}
    numpy = import_module("numpy")  # optional: the agent itself does not depend on it
    rates = {"memory": (_copy_rate(numpy, num_cpus), "B/s")}
    for dtype, name in (("fp32", "float32"), ("fp64", "float64")):
        a_NN = numpy.ones((MATRIX, MATRIX), dtype=name)
        out_NN = numpy.empty_like(a_NN)
        took_s = _best(lambda a=a_NN, out=out_NN: numpy.matmul(a, a, out=out))  # type: ignore[misc]
        rates[f"flops.{dtype}"] = (2 * MATRIX**3 / took_s, "FLOP/s")
    return rates


def _copy_rate(numpy: Any, num_threads: int) -> float:
    """Bytes read plus written per second by one copy per CPU at a time."""
    source = numpy.ones(COPY_BYTES, dtype=numpy.uint8)
    target = numpy.empty_like(source)
    edges = [COPY_BYTES * part // num_threads for part in range(num_threads + 1)]
    parts = [slice(first, last) for first, last in itertools.pairwise(edges)]
    with ThreadPoolExecutor(num_threads) as pool:
        took_s = _best(
            lambda: list(pool.map(lambda part: numpy.copyto(target[part], source[part]), parts))
        )
    return 2 * COPY_BYTES / took_s


def _plain_copy_rate() -> float:
    """The same by one thread, with nothing but a buffer."""
    source, target = bytearray(COPY_BYTES), memoryview(bytearray(COPY_BYTES))

    def copy() -> None:
        target[:] = source

    return 2 * COPY_BYTES / _best(copy)


def _best(run: Callable[[], object]) -> float:
    """Seconds of the fastest run within the budget, after one run to warm up."""
    run()
    best_s = float("inf")
    end = time.perf_counter() + BUDGET_S
    while (start := time.perf_counter()) < end:
        run()
        best_s = min(best_s, time.perf_counter() - start)
    return best_s


def _end_with(parent: int) -> None:
    """An agent that ends, however it does, leaves no measurement behind."""
    while os.getppid() == parent:
        time.sleep(PARENT_LOOK_S)
    os._exit(1)


if __name__ == "__main__":
    main()
