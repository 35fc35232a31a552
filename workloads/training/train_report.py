"""What a training job says while it runs: lines for people, the loss curve, reports, checkpoints.

Rank 0 speaks for the job; every rank reports its own chip's measured speed.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import Final

from penstock.api.assignments import SpeedReport
from penstock.api.jobs import Progress
from penstock.api.specs import ShareStep, TrainSpec
from penstock.api.work import ModelSize, train_class
from workloads.checkpoints.manifest import DataPosition
from workloads.failures import os_error_message
from workloads.reporter import Reporter
from workloads.settings import Settings
from workloads.storage import StorageFault
from workloads.storage_retry import Backoff, retry_storage
from workloads.training.curve import LossCurve
from workloads.training.data.dataset import num_samples
from workloads.training.data.order import samples_of_step
from workloads.training.start import Start
from workloads.training.state import TrainState, manifest_of
from workloads.training.trainer import StepDone

REPORT_EVERY_S: Final = 1.0
SPEED_EVERY_S: Final = 5.0
SAMPLES_SHOWN: Final = 256


def report(text: str) -> None:
    """One line on standard output, at once: it is the replica's log."""
    print(text, flush=True)


@dataclass(slots=True)
class _Meter:
    """Tokens since a moment."""

    since_s: float
    tokens: int = 0

    def rate(self, now_s: float) -> float:
        return self.tokens / max(1e-9, now_s - self.since_s)


@dataclass(slots=True)
class _OwnWork:
    """What this rank worked through itself, and how long that took without waiting."""

    tokens: int = 0
    work_s: float = 1e-9

    def add(self, done: StepDone) -> None:
        self.tokens += done.own_tokens
        self.work_s += done.own_s


class TrainReport:
    """Speaks for one rank of one attempt."""

    def __init__(
        self,
        settings: Settings,
        spec: TrainSpec,
        reporter: Reporter,
        start: Start,
        state: TrainState,
    ) -> None:
        self.written = start.resumed
        self._settings = settings
        self._spec = spec
        self._reporter = reporter
        self._start = start
        self._state = state
        self._num_samples = num_samples(start.dataset.train_N, spec.model.max_seq_len)
        self._begun_s = time.monotonic()
        self._attempt = _Meter(self._begun_s)
        self._recent = _Meter(self._begun_s)
        self._speed_reported_s = self._begun_s
        self._own = _OwnWork()
        self._overdue = Backoff()
        speaks = settings.rank == 0
        self._curve = LossCurve(settings.storage, settings.epoch, report) if speaks else None

    def begin(self) -> None:
        """Starts the clock of the attempt's speed: what came before is start-up."""
        self._begun_s = self._speed_reported_s = time.monotonic()
        self._attempt, self._recent = _Meter(self._begun_s), _Meter(self._begun_s)

    @property
    def tokens_per_s(self) -> float:
        """Of the whole job over this attempt so far."""
        return self._attempt.rate(time.monotonic())

    def done(self, done: StepDone) -> None:
        """Hears of a step."""
        now_s = time.monotonic()
        last = done.step + 1 == self._spec.steps
        self._own.add(done)
        if last or now_s - self._speed_reported_s >= SPEED_EVERY_S:
            self._reporter.speed(self._speed(self._own.tokens / self._own.work_s))
            self._speed_reported_s, self._own = now_s, _OwnWork()
        if self._curve is None:
            return
        self._attempt.tokens += done.sums.num_tokens
        self._recent.tokens += done.sums.num_tokens
        self._curve.add(self._curve_line(done, now_s), done.loss)
        if done.step == 0 or last or now_s - self._recent.since_s >= REPORT_EVERY_S:
            self._report_step(done, self._recent.rate(now_s))
            self._recent = _Meter(now_s)

    def save(self, step: int, log: list[ShareStep], is_last: bool) -> bool:
        """Writes the checkpoint after `step` steps and has it committed in the background.

        Where the storage fails, training goes on without those that fall into the back-off, and
        `wants_save` asks for a later one; of the last one, raises StorageFault after some waiting.
        """
        if not is_last and self._overdue.is_waiting(time.monotonic()):
            return False
        write = partial(self._save, step, log)
        what = f"checkpoint of step {step}"
        try:
            retry_storage(write, what, report) if is_last else write()
        except StorageFault as error:
            if is_last:
                raise
            wait_s = self._overdue.refused(time.monotonic())
            report(
                f"{what}: the storage failed ({os_error_message(error)}); another in {wait_s:g} s"
            )
            return False
        self._overdue = Backoff()
        return True

    def wants_save(self) -> bool:
        """Whether a checkpoint that could not be written is to be made up for now."""
        return self._overdue.is_due(time.monotonic())

    def _save(self, step: int, log: list[ShareStep]) -> None:
        began_s = time.monotonic()
        settings = self._settings
        data = DataPosition(
            seed=self._spec.seed,
            next_step=step,
            batch_size=self._spec.batch_size,
            num_samples=self._num_samples,
            dataset_sha256=self._start.dataset.sha256,
        )
        job = (settings.job_id, settings.epoch)
        config, world = self._state.config, settings.world_size
        manifest = manifest_of(job, self._spec, config, data, log, world)
        if self._curve is not None:
            self._curve.flush()
        written = self._state.save(settings.storage, manifest, self._start.dataset.tokenizer)
        self.written = written
        self._reporter.commit(step, written.uri, written.manifest_sha256)
        took_s = time.monotonic() - began_s
        report(
            f"checkpoint of step {step} written in {took_s:.2f} s: {written.manifest_sha256[:12]}"
        )

    def _report_step(self, done: StepDone, rate: float) -> None:
        total = self._spec.steps
        per_step = self._spec.batch_size * self._spec.model.max_seq_len
        shares = ",".join(str(share) for share in done.shares)
        report(
            f"step {done.step + 1}/{total}  loss {done.loss:.4f}  {rate:,.0f} tokens/s  "
            f"shares {shares}"
        )
        progress = Progress(
            step=done.step + 1,
            total_steps=total,
            loss=done.loss,
            tokens=(done.step + 1) * per_step,
            tokens_per_s=rate,
            step_time_s=per_step / rate,
        )
        self._reporter.progress(progress)

    def _speed(self, tokens_per_s: float) -> SpeedReport:
        spec = self._spec
        size, world = ModelSize.of(dict(spec.model)), self._settings.world_size
        work = train_class(size, spec.batch_size, spec.micro_batch, world)
        return SpeedReport(work_class=str(work), value=tokens_per_s)

    def _curve_line(self, done: StepDone, now_s: float) -> dict[str, object]:
        spec = self._spec
        shown = range(min(spec.batch_size, SAMPLES_SHOWN))
        samples = samples_of_step(spec.seed, done.step, spec.batch_size, self._num_samples, shown)
        return {
            "step": done.step,
            "tokens": (done.step + 1) * done.sums.num_tokens,
            "samples": samples,
            "data_check": done.sums.data_check,
            "shares": done.shares,
            "time_s": round(now_s - self._begun_s, 4),
        }
