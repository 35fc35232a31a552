"""Wall clocks of single processes that can be stepped while they run, by a preloaded library.

`faketime` does the same, but its release breaks sleeps with an absolute deadline (Python's).
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("wallclock.c")


@dataclass(frozen=True, slots=True)
class SteppedClock:
    """One clock; every process started with `env` follows it, also later steps."""

    library: Path
    file: Path

    @property
    def env(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(self.library), "STORM_CLOCK": str(self.file)}

    def step(self, offset_s: float) -> None:
        """Sets the clock to the machine's time plus this."""
        with self.file.open("r+b") as file:
            file.write(struct.pack("=q", int(offset_s * 1e9)))


def a_clock(library: Path, file: Path) -> SteppedClock:
    """A clock that shows the machine's time until it is stepped."""
    file.write_bytes(struct.pack("=q", 0))
    file.chmod(0o644)
    return SteppedClock(library, file)


def build(folder: Path) -> Path | None:
    """The library; None where there is no C compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        return None
    made = folder / "wallclock.so"
    command = [compiler, "-shared", "-fPIC", "-O2", "-o", str(made), str(SOURCE), "-ldl"]
    subprocess.run(command, check=True, capture_output=True)
    return made
