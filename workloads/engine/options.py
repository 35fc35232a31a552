"""What a serving replica is asked to do: the `work` document, and the engine's bounds."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from penstock.api.base import View


class ServeWork(View):
    """What the control plane asks for, and bounds that normally keep their defaults."""

    model_uri: str = Field(min_length=1, description="fsspec URI or folder")
    manifest_sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    model_name: str = Field(min_length=1, description="what clients call the model")
    kind: Literal["checkpoint", "huggingface"]
    max_running: int = Field(default=32, ge=1, le=1024, description="sequences in one step")
    max_waiting: int = Field(default=128, ge=0, description="beyond that requests get 429")
    step_tokens: int = Field(default=512, ge=1, description="token budget of one step")
    page_size: int = Field(default=16, ge=1, le=1024, description="tokens per cache page")
    cache_bytes: int | None = Field(
        default=None, ge=1, description="keys and values; default: a quarter of the chip's memory"
    )
    drain_s: float = Field(
        default=8.0, ge=0, description="finish running streams for this long after SIGTERM"
    )
