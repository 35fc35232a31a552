"""Progress reaches the control plane at most twice a second, and the last word always."""

from __future__ import annotations

from agents.reporting.notes import INTERVAL_NS, Note, Notes
from penstock.api.assignments import SpeedReport
from penstock.api.ids import ReplicaId
from penstock.api.jobs import Progress


def test_the_first_word_leaves_at_once_and_the_next_waits_its_turn() -> None:
    notes = Notes()
    notes.put(ReplicaId("a"), Note(Progress(step=1)))
    assert list(notes.due(0)) == [("a", Note(Progress(step=1)))]
    notes.put(ReplicaId("a"), Note(Progress(step=2)))
    assert list(notes.due(INTERVAL_NS - 1)) == []
    assert notes.next_ns() == INTERVAL_NS
    assert list(notes.due(INTERVAL_NS)) == [("a", Note(Progress(step=2)))]
    assert notes.next_ns() is None


def test_the_latest_words_win_and_speed_does_not_hide_progress() -> None:
    notes = Notes()
    speed = SpeedReport(work_class="train/x", value=3.0)
    other = SpeedReport(work_class="y", value=4.0)
    notes.put(ReplicaId("a"), Note(Progress(step=1)))
    for said in (speed.model_copy(update={"value": 2.0}), other, speed):
        notes.put(ReplicaId("a"), Note(speeds={said.work_class: said}))
    notes.put(ReplicaId("a"), Note(Progress(step=2)))
    assert list(notes.due(0)) == [("a", Note(Progress(step=2), {"train/x": speed, "y": other}))]


def test_the_last_word_of_an_ended_replica_is_not_lost() -> None:
    notes = Notes()
    notes.put(ReplicaId("a"), Note(Progress(step=1)))
    list(notes.due(0))
    notes.put(ReplicaId("a"), Note(Progress(step=2)))
    assert notes.end(ReplicaId("a")) == Note(Progress(step=2))
    assert notes.end(ReplicaId("a")) is None


def test_one_replica_does_not_delay_another() -> None:
    notes = Notes()
    notes.put(ReplicaId("a"), Note(Progress(step=1)))
    list(notes.due(0))
    notes.put(ReplicaId("a"), Note(Progress(step=2)))
    notes.put(ReplicaId("b"), Note(Progress(step=1)))
    assert [replica for replica, _ in notes.due(1)] == ["b"]
