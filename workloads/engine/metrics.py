"""What the engine counts, for Prometheus: vLLM's names as they are, ours where vLLM has none."""

from __future__ import annotations

from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from workloads.engine.sequence import FinishReason, Sequence

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS: Final = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300)
_TOKEN_SECONDS: Final = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10)


class EngineMetrics:
    """The figures of one engine in a registry of their own. Written from the engine's thread."""

    def __init__(self, model_name: str, chip_type: str) -> None:
        # Of the whole process; else each counter and histogram has a series of its age beside it.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._labels = {"model_name": model_name, "chip_type": chip_type}
        self._running = self._gauge("vllm:num_requests_running", "Requests in the current step.")
        self._waiting = self._gauge("vllm:num_requests_waiting", "Requests waiting to run.")
        self._cache = self._gauge("vllm:kv_cache_usage_perc", "Cache pages in use, 1 is all.")
        self._prompt = self._counter("vllm:prompt_tokens", "Prompt tokens of accepted requests.")
        self._generated = self._counter("vllm:generation_tokens", "Tokens generated.")
        self._preempted = self._counter("vllm:num_preemptions", "Sequences computed again.")
        self._queue = self._histogram("vllm:request_queue_time_seconds", "Until first run.")
        self._ttft = self._histogram("vllm:time_to_first_token_seconds", "Until the first token.")
        self._e2e = self._histogram("vllm:e2e_request_latency_seconds", "Until the last token.")
        self._gap = Histogram(
            "vllm:inter_token_latency_seconds",
            "Between tokens.",
            list(self._labels),
            registry=self.registry,
            buckets=_TOKEN_SECONDS,
        ).labels(**self._labels)
        self._finished = Counter(
            "vllm:request_success",
            "Requests ended.",
            [*self._labels, "finished_reason"],
            registry=self.registry,
        )
        self._step = self._histogram("penstock_engine_step_seconds", "Time of one engine step.")
        self._ready = self._gauge("penstock_engine_load_seconds", "From start to ready.")

    def arrived(self, sequence: Sequence) -> None:
        self._prompt.inc(len(sequence.prompt))

    def started(self, sequence: Sequence, now: float) -> None:
        self._queue.observe(now - sequence.arrived_at)

    def token(self, sequence: Sequence, now: float) -> None:
        """One token was generated `now`; the sequence still shows the one before it."""
        self._generated.inc()
        if sequence.last_token_at is None:
            self._ttft.observe(now - sequence.arrived_at)
        else:
            self._gap.observe(now - sequence.last_token_at)

    def finished(self, sequence: Sequence, reason: FinishReason, now: float) -> None:
        self._finished.labels(**self._labels, finished_reason=reason.value).inc()
        self._e2e.observe(now - sequence.arrived_at)

    def stepped(self, seconds: float, num_preempted: int) -> None:
        self._step.observe(seconds)
        self._preempted.inc(num_preempted)

    def stands(self, num_running: int, num_waiting: int, cache_ratio: float) -> None:
        self._running.set(num_running)
        self._waiting.set(num_waiting)
        self._cache.set(cache_ratio)

    def ready(self, seconds: float) -> None:
        self._ready.set(seconds)

    def render(self) -> bytes:
        """The page that Prometheus reads."""
        return generate_latest(self.registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, list(self._labels), registry=self.registry).labels(**self._labels)

    def _counter(self, name: str, text: str) -> Counter:
        metric = Counter(name, text, list(self._labels), registry=self.registry)
        return metric.labels(**self._labels)

    def _histogram(self, name: str, text: str) -> Histogram:
        metric = Histogram(name, text, list(self._labels), registry=self.registry, buckets=_SECONDS)
        return metric.labels(**self._labels)
