"""Why a workload cannot go on, as its user is told: a code and one sentence. Telling it is the
reporter's.
"""

from __future__ import annotations

import errno
from typing import Final

OUT_OF_MEMORY: Final = "out_of_memory"
FILES: Final = "file_error"
STORAGE: Final = "storage_error"
NOT_INSTALLED: Final = "not_installed"
CRASHED: Final = "crashed"
_NO_MEMORY: Final = ("out of memory", "can't allocate memory", "DefaultCPUAllocator")


def failure_of(error: BaseException) -> tuple[str, str]:
    """Code and sentence of an error that nobody expected, or that the machine caused."""
    if _is_out_of_memory(error):
        return OUT_OF_MEMORY, f"out of memory: {_first_line(error)}"
    if isinstance(error, OSError):
        return FILES, os_error_message(error)
    if isinstance(error, ModuleNotFoundError):
        return NOT_INSTALLED, (
            f"this node lacks {error.name}, which Penstock's own engine needs: install "
            "`penstock[workload]` for the Python that its agent runs"
        )
    return CRASHED, f"{type(error).__name__}: {_first_line(error)}"


def os_error_message(error: OSError) -> str:
    """For example `/data/a.txt: permission denied`."""
    why = (error.strerror or str(error) or type(error).__name__).lower()
    return f"{error.filename}: {why}" if error.filename else why


def _is_out_of_memory(error: BaseException) -> bool:
    """torch has a class for some devices and a bare RuntimeError for the host."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _NO_MEMORY)


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
