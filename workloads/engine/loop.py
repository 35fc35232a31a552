"""The engine's loop: commands in, steps, pieces of text out. One thread owns everything in it.

Knows no HTTP and no event loop: what it produced goes to `publish`, called from its thread.
"""

from __future__ import annotations

import queue
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from workloads.engine.batcher import Batcher, Chunk
from workloads.engine.metrics import EngineMetrics
from workloads.engine.sampler import sample
from workloads.engine.sequence import Choice, FinishReason, Piece, Sequence
from workloads.engine.speed import Totals
from workloads.engine.text.detokenizer import Decode, Detokenizer, StopFinder


class Forward(Protocol):
    """The runner as the loop sees it: logits (B,V), a row for each chunk that samples."""

    def forward(self, chunks: list[Chunk]) -> Tensor: ...


Publish = Callable[[list[Piece]], None]


@dataclass(slots=True)
class _Live:
    sequence: Sequence
    detokenizer: Detokenizer
    stops: StopFinder


class Engine:
    """Submit and abort from any thread; `run` in one."""

    def __init__(
        self,
        runner: Forward,
        batcher: Batcher,
        decode: Decode,
        eos: frozenset[int],
        publish: Publish,
        metrics: EngineMetrics,
        clock: Callable[[], float],
    ) -> None:
        self.totals = Totals()
        self._runner = runner
        self._batcher = batcher
        self._decode = decode
        self._eos = eos
        self._publish = publish
        self._metrics = metrics
        self._clock = clock
        self._live: dict[str, _Live] = {}
        self._commands: queue.SimpleQueue[Sequence | str | None] = queue.SimpleQueue()

    def submit(self, sequence: Sequence) -> None:
        """Accepts a sequence that fits in the cache; its pieces go to `publish`."""
        self._commands.put(sequence)

    def abort(self, sequence_id: str) -> None:
        """Forgets a sequence and frees its pages; an ended or unknown one is no error."""
        self._commands.put(sequence_id)

    def stop(self) -> None:
        """Makes `run` return after the current step, whatever is still running."""
        self._commands.put(None)

    def run(self) -> None:
        """Steps while there is work, waits while there is none, until stopped."""
        while self._take_commands():
            self.step()

    def step(self) -> None:
        """Runs one batch and publishes what came of it."""
        began, preempted_before = self._clock(), self._batcher.num_preemptions
        chunks = self._batcher.next_step()
        if not chunks:
            return
        self._mark_started(chunks, began)
        sampled = [chunk.sequence for chunk in chunks if chunk.samples]
        choices = self._sample(chunks, sampled)
        now = self._clock()
        self._publish([self._record(*pair, now) for pair in zip(sampled, choices, strict=True)])
        seconds = self._clock() - began
        self.totals = self.totals.plus([len(chunk.tokens) for chunk in chunks], seconds)
        self._metrics.stepped(seconds, self._batcher.num_preemptions - preempted_before)
        self._show()

    def _take_commands(self) -> bool:
        """Executes all commands; waits for one while idle. False once told to stop."""
        wait = not self._live
        while True:
            try:
                command = self._commands.get(block=wait)
            except queue.Empty:
                return True
            wait = False
            if command is None:
                return False
            self._execute(command)

    def _execute(self, command: Sequence | str) -> None:
        if isinstance(command, Sequence):
            detokenizer = Detokenizer(self._decode, command.prompt)
            self._live[command.id] = _Live(command, detokenizer, StopFinder(command.params.stop))
            self._batcher.add(command)
            self._metrics.arrived(command)
        elif command in self._live:
            self._end(self._live[command].sequence, FinishReason.ABORT)
        self._show()

    def _sample(self, chunks: list[Chunk], sampled: list[Sequence]) -> list[Choice]:
        logits_BV = self._runner.forward(chunks)
        params = [sequence.params for sequence in sampled]
        return sample(logits_BV, params, [sequence.rng.random() for sequence in sampled])

    def _mark_started(self, chunks: list[Chunk], now: float) -> None:
        for chunk in chunks:
            if chunk.sequence.started_at is None:
                chunk.sequence.started_at = now
                self._metrics.started(chunk.sequence, now)

    def _record(self, sequence: Sequence, choice: Choice, now: float) -> Piece:
        live = self._live[sequence.id]
        self._metrics.token(sequence, now)
        sequence.last_token_at = now
        sequence.output.append(choice.token)
        finish = sequence.finish_reason(self._eos)
        text = "" if finish is FinishReason.STOP else live.detokenizer.push(choice.token)
        if finish:
            text += live.detokenizer.flush()
        text = live.stops.push(text)
        if live.stops.found:
            finish = FinishReason.STOP
        if finish:
            text += live.stops.flush()
            self._end(sequence, finish)
        return Piece(sequence.id, text, choice, finish)

    def _end(self, sequence: Sequence, reason: FinishReason) -> None:
        self._batcher.remove(sequence)
        del self._live[sequence.id]
        self._metrics.finished(sequence, reason, self._clock())

    def _show(self) -> None:
        pool = self._batcher.pool
        self._metrics.stands(self._batcher.num_running, self._batcher.num_waiting, pool.used_ratio)
