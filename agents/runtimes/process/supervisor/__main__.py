"""Entry of a supervisor process: `python -I -S -E <this file> <replica folder> [<lock fd>]`.

It leaves its parent at once, before anything slow is imported, so that nobody has to wait for it
and the agent's end is not its own.
"""

import os
import sys

if __name__ == "__main__":
    if os.fork():
        os._exit(0)
    os.setsid()
    sys.path.append(__file__.rsplit(os.sep, 5)[0])
    from agents.runtimes.process.supervisor.main import main

    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else None)
    try:  # noqa: SIM105 (contextlib is slow to import)
        sys.stderr.flush()
    except OSError:
        pass  # the disk that keeps it is full
    os._exit(0)  # nothing is left to take apart: saves milliseconds of every replica
