"""Leaves its parents, session, environment and descriptors behind, as the worst daemon would.

Writes its last pid to the file named by its argument.
"""

from __future__ import annotations

import os
import sys


def main(path: str) -> None:
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)
    os.chdir("/")
    with open(path + ".new", "w", encoding="ascii") as file:
        file.write(str(os.getpid()))
    os.rename(path + ".new", path)
    os.closerange(0, 256)
    os.execve(sys.executable, [sys.executable, "-I", "-S", "-c", _SLEEP], {})


_SLEEP = "import time; time.sleep(1000)"

if __name__ == "__main__":
    main(sys.argv[1])
