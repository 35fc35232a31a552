"""One rank of a training job from its settings to its exit code: start, train, evaluate, end."""

from __future__ import annotations

import signal
import traceback
from collections.abc import Mapping
from functools import partial
from types import FrameType
from typing import Final

import torch

from penstock.api.jobs import Progress
from penstock.api.specs import TrainSpec
from penstock.api.vendors import vendor_table
from penstock.json_types import Json
from workloads.checkpoints.manifest import CheckpointError
from workloads.failures import STORAGE, failure_of, os_error_message
from workloads.reporter import CommitRefused, Reporter, StaleEpoch
from workloads.settings import Settings
from workloads.storage import StorageFault
from workloads.storage_retry import retry_storage
from workloads.training.data.dataset import DatasetError
from workloads.training.evaluate import held_out_losses
from workloads.training.parallel.balancer import Balancer
from workloads.training.start import Start, find_start, parse_work, share_start
from workloads.training.state import TrainState
from workloads.training.train_report import TrainReport, report
from workloads.training.trainer import Hooks, Trainer
from workloads.transport.gloo import PeerLost, Rendezvous, Transport, connect

EXIT_DONE: Final = 0
EXIT_FAILED: Final = 1
EXIT_TEMPORARY: Final = 75
EXIT_STOPPED: Final = 128 + signal.SIGTERM
STOP_DRAIN_S: Final = 5.0
END_DRAIN_S: Final = 600.0
_CODES: Final[Mapping[type[Exception], str]] = {
    CheckpointError: "bad_checkpoint",
    DatasetError: "bad_data",
    StaleEpoch: "stale_epoch",
    CommitRefused: "commit_refused",
}
LEAST_SIZE_FOR_THREADS: Final = 512


def run_training(settings: Settings) -> int:
    """Runs this rank to its end and returns the exit code.

    0: trained to the last step. 143: stopped by SIGTERM, checkpoint written. 75: another rank
    was lost, or the storage failed. 1: the job itself cannot go on. The reason is the last line
    printed, and the agent is told.
    """
    reporter = Reporter(settings.agent_socket, settings.replica_id, settings.agent_token)
    try:
        code = _attempt(settings, reporter)
    except PeerLost as error:
        report(f"rank {settings.rank} lost contact with the gang: {error}")
        reporter.failed("peer_lost", f"lost contact with the gang: {error}")
        code = EXIT_TEMPORARY
    except StorageFault as error:
        message = f"the job's storage failed: {os_error_message(error)}"
        report(f"rank {settings.rank} ends: {message}")
        reporter.failed(STORAGE, message)
        code = EXIT_TEMPORARY
    except (CheckpointError, StaleEpoch, CommitRefused, ValueError) as error:
        report(f"rank {settings.rank} cannot go on: {error}")
        reporter.failed(_CODES.get(type(error), "bad_input"), str(error))
        code = EXIT_FAILED
    except (OSError, MemoryError, RuntimeError) as error:
        traceback.print_exc()
        failure, message = failure_of(error)
        report(f"rank {settings.rank} cannot go on: {message}")
        reporter.failed(failure, message)
        code = EXIT_FAILED
    return _end(reporter, code)


def _attempt(settings: Settings, reporter: Reporter) -> int:
    spec, resume = parse_work(settings.work)
    _check_chips(settings)
    _use_cores(settings, spec)
    start = None
    if settings.rank == 0:
        reporter.progress(Progress(total_steps=spec.steps, message="preparing data"))
        find = partial(find_start, settings, spec, resume)
        start = retry_storage(find, "data and checkpoint", report)
        _report_data(start)
    transport = connect(_rendezvous(settings))
    try:
        start = share_start(transport, settings.storage, start, report)
        return _train(settings, spec, reporter, start, transport)
    finally:
        transport.close()


def _train(
    settings: Settings, spec: TrainSpec, reporter: Reporter, start: Start, transport: Transport
) -> int:
    chip_types = transport.gather("chip_type", settings.chip_type)
    torch.manual_seed(spec.seed)
    state = TrainState(spec, transport.world_size)
    if start.resumed is not None and start.manifest is not None:
        restore = partial(state.restore, start.resumed.uri, start.manifest)
        retry_storage(restore, "the checkpoint to resume", report)
        report(f"resumed from step {start.first_step}: {start.resumed.uri}")
    balancer = Balancer(spec, transport, start.first_step, start.past_shares)
    trainer = Trainer(spec, start.dataset, state, transport, balancer, start.first_step)
    progress = TrainReport(settings, spec, reporter, start, state)
    stop = _StopFlag(reporter)
    reporter.ready()
    if not trainer.run(_hooks(progress, stop)):
        reporter.check()
        report(f"rank {settings.rank} stopped as asked")
        return EXIT_STOPPED
    if settings.rank == 0:
        gang = {"world_size": transport.world_size, "chip_types": chip_types}
        shares = [entry.model_dump(mode="json") for entry in balancer.log]
        _finish(spec, start, state, progress, reporter, {**gang, "shares": shares})
    return EXIT_DONE


def _hooks(progress: TrainReport, stop: _StopFlag) -> Hooks:
    return Hooks(progress.begin, progress.done, progress.save, progress.wants_save, stop.is_up)


def _finish(
    spec: TrainSpec,
    start: Start,
    state: TrainState,
    progress: TrainReport,
    reporter: Reporter,
    about: Json,
) -> None:
    """Evaluates on files never seen and reports the job's result."""
    model = spec.model
    held_out, unigram = held_out_losses(
        state.model, start.dataset, model.max_seq_len, model.vocab_size, spec.micro_batch
    )
    written = progress.written
    result = {
        "held_out_loss": held_out,
        "unigram_loss": unigram,
        "checkpoint_sha256": written.manifest_sha256 if written else None,
        "checkpoint_uri": written.uri if written else None,
        "tokens": spec.steps * spec.batch_size * model.max_seq_len,
        "tokens_per_s": round(progress.tokens_per_s, 1),
        **about,
    }
    reporter.result(result)
    report(
        f"held-out loss {held_out:.4f} nats per token on unseen files; "
        f"a unigram model gets {unigram:.4f}"
    )
    report(
        f"trained {result['tokens']:,} tokens at {progress.tokens_per_s:,.0f} tokens/s on "
        f"{', '.join(about['chip_types'])}; checkpoint {result['checkpoint_sha256']}"
    )


def _end(reporter: Reporter, code: int) -> int:
    """Lets the last reports out; a finished job whose checkpoint is not committed is not done."""
    drained = reporter.close(END_DRAIN_S if code == EXIT_DONE else STOP_DRAIN_S)
    if code == EXIT_DONE:
        try:
            reporter.check()
        except (StaleEpoch, CommitRefused) as error:
            report(f"the last checkpoint was not committed: {error}")
            return EXIT_FAILED
        if not drained:
            report("the agent did not take the last reports in time")
            return EXIT_FAILED
    return code


class _StopFlag:
    """Up once SIGTERM came or the attempt lost its right to go on."""

    def __init__(self, reporter: Reporter) -> None:
        self._asked = False
        self._reporter = reporter
        signal.signal(signal.SIGTERM, self._on_signal)

    def is_up(self) -> bool:
        return self._asked or self._reporter.is_over

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._asked = True


def _check_chips(settings: Settings) -> None:
    for chip in settings.chips:
        row = vendor_table().get(chip.vendor)
        if row is None or not row.trains:
            raise ValueError(
                f"training does not run on {chip.type} yet: ask for the host's processor (cpu) or "
                "for emulated chips"
            )


def _use_cores(settings: Settings, spec: TrainSpec) -> None:
    """One thread, or as many as whole cores are held where the matrices repay it.

    Threads wait for each other by spinning: on small matrices that costs more than it brings,
    five times more on a busy machine.
    """
    num_cores = sum(chip.cores_milli for chip in settings.chips) // 1000
    wide = spec.model.hidden_size >= LEAST_SIZE_FOR_THREADS
    torch.set_num_threads(max(1, num_cores) if wide else 1)
    chips = ", ".join(_chip_text(settings)) or "cpu"
    report(f"rank {settings.rank} of {settings.world_size} on {chips}, attempt {settings.epoch}")


def _chip_text(settings: Settings) -> list[str]:
    return [chip.type + (" (emulated)" if chip.emulated else "") for chip in settings.chips]


def _report_data(start: Start) -> None:
    data = start.dataset
    report(f"data: {len(data.train_N):,} tokens to learn from, {len(data.held_out_N):,} held out")


def _rendezvous(settings: Settings) -> Rendezvous:
    return Rendezvous(
        rank=settings.rank,
        world_size=settings.world_size,
        host=settings.host,
        master_addr=settings.master_addr,
        master_port=settings.master_port,
        link_bytes_per_s=settings.link_bytes_per_s,
    )
