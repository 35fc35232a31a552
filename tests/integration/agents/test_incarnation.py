"""A state folder knows the starts of its agent as long as it is that folder and nothing booted."""

from __future__ import annotations

import asyncio
import errno
import shutil
from pathlib import Path
from random import Random
from unittest.mock import patch

import pytest

from agents.node import incarnation
from agents.node.enrol import begin
from agents.runtimes.process.folders import ReplicaFolders
from agents.runtimes.process.supervisor import files
from tests.fakes.agent_parts import Bench

pytestmark = pytest.mark.integration


def test_what_began_here_is_known_here(tmp_path: Path) -> None:
    assert incarnation.previous(tmp_path) == ()
    incarnation.note(tmp_path, ("a", "b"))
    assert incarnation.previous(tmp_path) == ("a", "b")


def test_a_copy_a_restored_folder_and_a_boot_know_nothing(tmp_path: Path) -> None:
    original, copy = tmp_path / "state", tmp_path / "copy"
    original.mkdir()
    incarnation.note(original, ("a",))
    shutil.copytree(original, copy)
    assert incarnation.previous(copy) == ()
    original.rename(tmp_path / "aside")
    copy.rename(original)
    assert incarnation.previous(original) == ()
    with patch.object(files, "boot_id", lambda: "another"):
        assert incarnation.previous(tmp_path / "aside") == ()
    assert incarnation.previous(tmp_path / "aside") == ("a",)  # it was only moved


def test_without_a_boot_id_no_place_is_like_another(tmp_path: Path) -> None:
    with patch.object(files, "boot_id", lambda: ""):
        incarnation.note(tmp_path, ("a",))
        assert incarnation.previous(tmp_path) == ()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"incarnations": ["a"]}'])
def test_a_damaged_note_counts_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / incarnation.FILE).write_text(text)
    assert incarnation.previous(tmp_path) == ()


def test_many_starts_that_were_never_accepted_do_not_push_out_the_one_that_was(
    tmp_path: Path,
) -> None:
    incarnation.note(tmp_path, ("accepted", *(str(number) for number in range(1000))))
    kept = incarnation.previous(tmp_path)
    assert kept[0] == "accepted"
    assert kept[-1] == "999"
    assert len(kept) < incarnation.MOST


def test_a_start_that_cannot_be_noted_begins_all_the_same(tmp_path: Path) -> None:
    """A full disk: what runs here has leases that want to be renewed."""
    bench, folders = Bench(), a_folder(tmp_path)
    with patch.object(incarnation, "note", side_effect=OSError(errno.ENOSPC, "full")):
        own = asyncio.run(begin(tmp_path, folders, bench.client, Random(1)))
    assert own == bench.client.incarnation == bench.fake.incarnation


def test_a_refused_credential_is_shown_again_until_it_is_taken(tmp_path: Path) -> None:
    bench, folders = Bench(), a_folder(tmp_path)
    bench.client.credential = "of another cloud"

    async def restored() -> str:
        asking = asyncio.create_task(begin(tmp_path, folders, bench.client, Random(1)))
        await asyncio.sleep(0.3)
        assert len(bench.fake.calls) >= 2
        bench.client.credential = bench.fake.credential
        return await asking

    assert asyncio.run(restored()) == bench.fake.incarnation


def a_folder(tmp_path: Path) -> ReplicaFolders:
    folders = ReplicaFolders(tmp_path / "replicas")
    folders.prepare()
    return folders
