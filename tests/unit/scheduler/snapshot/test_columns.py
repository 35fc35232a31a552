"""Columns: patched they are as if made anew, and what-ifs leave what they were made of alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import given, settings

from scheduler.model import Closed, Snapshot
from scheduler.snapshot.columns import Columns, columns_of
from scheduler.snapshot.overlays import Overlay
from tests.builders import a_pool
from tests.unit.scheduler.pools import settled, snapshots


@given(snapshot=snapshots())
@settings(max_examples=60)
def test_patched_columns_are_as_if_made_anew(snapshot: Snapshot) -> None:
    before = Columns(snapshot.nodes)
    after = settled(snapshot, {gang.id for gang in snapshot.running}, ())
    patched, anew = Columns(after.nodes, before), Columns(after.nodes)
    assert patched.layout is before.layout, "nothing but what is free has changed"
    assert _plain(patched.now) == _plain(anew.now)
    assert _plain(patched.later) == _plain(anew.later)
    assert _plain(before.now) == _plain(Columns(snapshot.nodes).now)


def test_columns_of_other_nodes_are_made_anew() -> None:
    pool = a_pool().node("a", "nvidia-h200", 2).node("b", "nvidia-h200", 1)
    before = Columns(pool.snapshot.nodes)
    first, second = pool.snapshot.nodes
    for nodes in (
        (first,),
        (first, replace(second, closed=Closed.LOST)),
        (first, replace(second, chips=())),
        (first, replace(second, chips=(replace(second.chips[0], healthy=False),))),
    ):
        assert Columns(nodes, before).layout is not before.layout
        stale = replace(pool.snapshot, nodes=nodes, columns=before)
        assert _plain(columns_of(stale).now) == _plain(Columns(nodes).now)


def test_closed_nodes_and_unhealthy_chips_have_nothing() -> None:
    pool = a_pool().node("a", "nvidia-h200", 1, closed=Closed.DRAINING)
    pool = pool.node("b", "nvidia-h200", 1, healthy=False, cores=2)
    assert Columns(pool.snapshot.nodes).now.chips.tolist() == [0, 0]
    assert Columns(pool.snapshot.nodes).now.cores.tolist() == [0, 2000]


def test_what_is_given_back_is_never_more_than_there_is() -> None:
    pool = a_pool().node("a", "nvidia-h200", 2).running("one", 2, "nvidia-h200", cores_milli=4000)
    now = Columns(pool.snapshot.nodes).now
    given = now.give([*pool.snapshot.running, *pool.snapshot.running])
    assert _plain(given) == _plain(now.layout.empty)
    assert now.chips.tolist() == [0, 0]


def test_labels_say_where_nodes_stand() -> None:
    first, second, third = a_pool().node("a").node("b").node("c").snapshot.nodes
    labels: dict[str, Any] = {"zone": "north", "rack": "r2"}
    nodes = (replace(first, labels=labels), replace(second, labels={"rack": "r1"}), third)
    topology = Columns(nodes).layout.topology
    assert topology["zone"].tolist() == [0, -1, -1]
    assert topology["rack"].tolist() == [1, 0, -1]
    assert topology["block"].tolist() == [-1, -1, -1]


def _plain(overlay: Overlay) -> list[list[int]]:
    return [np.asarray(it).tolist() for it in (overlay.chips, overlay.cores, overlay.memory)]
