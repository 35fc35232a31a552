"""What a user is told of an error that ends a workload."""

from __future__ import annotations

import pytest

from workloads.failures import failure_of


@pytest.mark.parametrize(
    "error, code, message",
    [
        (MemoryError(), "out_of_memory", "out of memory: MemoryError"),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory\nmore"),
            "out_of_memory",
            "out of memory: [enforce fail] DefaultCPUAllocator: can't allocate memory",
        ),
        (PermissionError(13, "Permission denied", "/d/a"), "file_error", "/d/a: permission denied"),
        (OSError(28, "No space left on device"), "file_error", "no space left on device"),
        (RuntimeError("shape\nmore"), "crashed", "RuntimeError: shape"),
        (
            ModuleNotFoundError("No module named 'torch'", name="torch"),
            "not_installed",
            (
                "this node lacks torch, which Penstock's own engine needs: install "
                "`penstock[workload]` for the Python that its agent runs"
            ),
        ),
    ],
)
def test_an_error_becomes_a_code_and_one_sentence(
    error: BaseException, code: str, message: str
) -> None:
    assert failure_of(error) == (code, message)
