"""What is made of other source, and how: `python -m tests.architecture.generated` makes it anew.

The synchronous half of the client's transport is the asynchronous one without its waiting.
"""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Final

from tests.architecture.sources import ROOT

ASYNC: Final = ROOT / "penstock/client/async_http.py"
SYNC: Final = ROOT / "penstock/client/http.py"
_CALLS: Final = re.compile(r"\(await (\w[\w.]*\([^()]*\))\)")
_WAITING: Final = re.compile(r"\b(async|await) ")
_NAMES: Final = {
    "Callable[[float], Awaitable[None]]": "Callable[[float], None]", "Awaitable, ": "",
    "AsyncHttp": "Http", "AsyncClient": "Client", "AsyncBaseTransport": "BaseTransport",
    "AsyncIterator": "Iterator", "aiter_": "iter_", "aread": "read", "aclose": "close",
    "__aenter__": "__enter__", "__aexit__": "__exit__",
    "from asyncio": "from time",
}  # fmt: skip


def synchronous(source: str) -> str:
    """The same without waiting, formatted."""
    text = _WAITING.sub("", _CALLS.sub(r"\1", source))
    for name, twin in _NAMES.items():
        text = text.replace(name, twin)
    for command in (["check", "--select", "I", "--fix", "-q"], ["format", "-q"]):
        text = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--stdin-filename", str(SYNC), "-"],
            input=text,
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
        ).stdout
    return text


if __name__ == "__main__":
    SYNC.write_text(synchronous(ASYNC.read_text(encoding="utf-8")), encoding="utf-8")
