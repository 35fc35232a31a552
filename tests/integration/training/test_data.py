"""From text to tokens: what is held out, what is cached, what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from workloads.checkpoints.manifest import CheckpointError
from workloads.training.data.corpus import STDLIB, read_corpus
from workloads.training.data.dataset import (
    END_OF_TEXT,
    check_size,
    load_dataset,
    num_samples,
    prepare_dataset,
    store_dataset,
    tokenise,
    windows,
)
from workloads.training.evaluate import held_out_rows, unigram_loss

pytestmark = pytest.mark.integration
LIMIT = 10**6


def test_held_out_files_are_never_trained_on(corpus: Path) -> None:
    found = read_corpus(str(corpus), LIMIT)
    train = {document.sha256 for document in found.train}
    held_out = {document.sha256 for document in found.held_out}
    assert train
    assert held_out
    assert not train & held_out
    assert len(train) + len(held_out) == 40


def test_the_standard_library_is_sampled_fairly_within_the_limit() -> None:
    found = read_corpus(STDLIB, 200_000)
    paths = [document.path for document in (*found.train, *found.held_out)]
    size = sum(len(document.text.encode()) for document in (*found.train, *found.held_out))
    assert size <= 200_000
    assert all(path.endswith(".py") for path in paths)
    assert not any(part in path for path in paths for part in ("site-packages/", "test/"))
    assert len({path.split("/")[0] for path in paths}) > 3


def test_hidden_files_links_and_binaries_are_left_out(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt", ".hidden"):
        (tmp_path / name).write_text(f"text of {name}")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "link.txt").symlink_to(tmp_path / "a.txt")
    found = read_corpus(str(tmp_path), LIMIT)
    assert sorted(it.path for it in (*found.train, *found.held_out)) == ["a.txt", "b.txt"]


@pytest.mark.parametrize("files", [0, 1])
def test_a_folder_with_nothing_to_hold_out_is_refused(files: int, tmp_path: Path) -> None:
    for number in range(files):
        (tmp_path / f"{number}.txt").write_text("text")
    with pytest.raises(ValueError, match="at least two are needed"):
        read_corpus(str(tmp_path), LIMIT)


def test_a_folder_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="neither 'stdlib' nor a folder"):
        read_corpus("/no/such/folder", LIMIT)


def test_too_little_text_to_learn_from_or_to_hold_out_is_refused_at_the_start(corpus: Path) -> None:
    dataset = tokenise(read_corpus(str(corpus), LIMIT), 300)
    check_size(dataset, 8)
    few = dataset.train_N[:8]
    with pytest.raises(ValueError, match="8 tokens to learn from are less than one sample of 9"):
        check_size(replace(dataset, train_N=few), 8)
    with pytest.raises(ValueError, match="8 tokens held out are less than one sample of 9"):
        check_size(replace(dataset, held_out_N=few), 8)


def test_the_same_text_gives_the_same_tokens_again(corpus: Path) -> None:
    found = read_corpus(str(corpus), LIMIT)
    one, other = tokenise(found, 300), tokenise(found, 300)
    assert one.tokenizer == other.tokenizer
    assert one.sha256 == other.sha256


def test_tokens_decode_to_the_files_they_came_from(corpus: Path) -> None:
    found = read_corpus(str(corpus), LIMIT)
    dataset = tokenise(found, 300)
    tokenizer = Tokenizer.from_str(dataset.tokenizer.decode())
    ends = np.flatnonzero(dataset.train_N == tokenizer.token_to_id(END_OF_TEXT))
    assert len(ends) == len(found.train)
    assert tokenizer.decode(dataset.train_N[: ends[0]].tolist()) == found.train[0].text


def test_a_second_job_takes_the_tokens_from_the_cache(corpus: Path, tmp_path: Path) -> None:
    first = prepare_dataset(str(corpus), LIMIT, 300, tmp_path)
    (cached,) = (tmp_path / "datasets").iterdir()
    before = cached.stat().st_mtime_ns
    assert prepare_dataset(str(corpus), LIMIT, 300, tmp_path).sha256 == first.sha256
    assert cached.stat().st_mtime_ns == before


def test_a_damaged_cache_is_made_good_from_the_text(corpus: Path, tmp_path: Path) -> None:
    first = prepare_dataset(str(corpus), LIMIT, 300, tmp_path)
    (cached,) = (tmp_path / "datasets").iterdir()
    path = cached / "tokens.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    assert prepare_dataset(str(corpus), LIMIT, 300, tmp_path).sha256 == first.sha256


def test_other_ranks_read_the_same_tokens_from_storage_or_refuse(
    corpus: Path, tmp_path: Path
) -> None:
    dataset = prepare_dataset(str(corpus), LIMIT, 300, None)
    sha256 = store_dataset(tmp_path.as_uri(), dataset)
    assert store_dataset(tmp_path.as_uri(), dataset) == sha256
    assert load_dataset(tmp_path.as_uri(), sha256).sha256 == sha256
    path = tmp_path / "data" / sha256 / "tokens.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(CheckpointError, match="was modified"):
        load_dataset(tmp_path.as_uri(), sha256)
    with pytest.raises(CheckpointError, match="is missing"):
        load_dataset(tmp_path.as_uri(), "0" * 64)


def test_samples_are_neighbouring_windows_that_share_one_token() -> None:
    tokens_N = np.arange(21, dtype=np.int32)
    assert num_samples(tokens_N, 5) == 4
    assert windows(tokens_N, (0, 3), 5).tolist() == [[0, 1, 2, 3, 4, 5], [15, 16, 17, 18, 19, 20]]
    with pytest.raises(ValueError, match="less than one sample"):
        num_samples(tokens_N[:5], 5)


def test_the_unigram_model_knows_frequencies_and_nothing_else() -> None:
    train_N = np.asarray([0] * 5 + [1] * 1, dtype=np.int32)
    targets_BT = np.asarray([[0, 1]], dtype=np.int32)
    expected = -(np.log(6 / 9) + np.log(2 / 9)) / 2
    assert unigram_loss(train_N, targets_BT, 3) == pytest.approx(expected)


def test_evaluation_windows_are_spread_over_the_held_out_files() -> None:
    rows_BT = held_out_rows(np.arange(10_001, dtype=np.int32), 10)
    assert rows_BT.shape == (96, 11)
    assert (rows_BT[0, 0], rows_BT[95, 0]) == (0, 9890)
