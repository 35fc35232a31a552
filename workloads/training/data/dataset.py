"""Token arrays of a corpus and their tokenizer: made once, cached, shared through storage.

Samples are windows of T+1 tokens, neighbours overlapping by one: T inputs with their targets.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import safetensors.numpy
from safetensors import SafetensorError
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from workloads.checkpoints.manifest import CheckpointError
from workloads.storage import exists, join_uri, read_file, write_folder
from workloads.training.data.corpus import Corpus, Document, read_corpus

END_OF_TEXT: Final = "<|endoftext|>"
RECIPE: Final = "byte-level-bpe/1"
TOKENS: Final = "tokens.safetensors"
TOKENIZER: Final = "tokenizer.json"
ABOUT: Final = "dataset.json"

Tokens = npt.NDArray[np.int32]


class DatasetError(CheckpointError):
    """What a checkpoint was trained on is missing or damaged: no other checkpoint would help."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """Training and held-out tokens, each one long row, with the tokenizer that made them."""

    train_N: Tokens
    held_out_N: Tokens
    tokenizer: bytes

    @property
    def sha256(self) -> str:
        """Names the dataset; equal on every rank that holds the same."""
        digest = hashlib.sha256(self.tokenizer)
        digest.update(self.train_N.tobytes())
        digest.update(self.held_out_N.tobytes())
        return digest.hexdigest()


def prepare_dataset(source: str, limit_bytes: int, vocab_size: int, cache: Path | None) -> Dataset:
    """The dataset of a source, from the cache where the same text was tokenised before.

    Raises ValueError where the source holds too little text.
    """
    corpus = read_corpus(source, limit_bytes)
    key = hashlib.sha256(f"{RECIPE} {vocab_size} {corpus.sha256}".encode()).hexdigest()
    place = None if cache is None else (cache / "datasets" / key).as_uri()
    if place is not None and (cached := _read_cached(place)) is not None:
        return cached
    dataset = tokenise(corpus, vocab_size)
    if place is not None:
        with contextlib.suppress(OSError):  # a cache that cannot be written costs time only
            _write(place, dataset)
    return dataset


def tokenise(corpus: Corpus, vocab_size: int) -> Dataset:
    """Trains a byte-level BPE tokenizer on the training files only and encodes both sides."""
    tokenizer = _trained_tokenizer([document.text for document in corpus.train], vocab_size)
    return Dataset(
        train_N=_encode(tokenizer, corpus.train),
        held_out_N=_encode(tokenizer, corpus.held_out),
        tokenizer=tokenizer.to_str(pretty=False).encode(),
    )


def store_dataset(storage: str, dataset: Dataset) -> str:
    """Puts the dataset under the job's folder for the other ranks; returns its hash."""
    sha256 = dataset.sha256
    uri = join_uri(storage, "data", sha256)
    if not exists(uri):
        _write(uri, dataset)
    return sha256


def load_dataset(storage: str, sha256: str) -> Dataset:
    """The stored dataset of that hash; raises DatasetError where it is missing or damaged."""
    uri = join_uri(storage, "data", sha256)
    try:
        dataset = _read(uri)
    except FileNotFoundError:
        raise DatasetError(f"{uri} is missing: the job's token arrays") from None
    except (SafetensorError, KeyError) as error:
        raise DatasetError(f"{uri} is damaged: the job's token arrays: {error}") from None
    if dataset.sha256 != sha256:
        raise DatasetError(f"{uri} was modified: its hash is {dataset.sha256}")
    return dataset


def num_samples(tokens_N: Tokens, seq_len: int) -> int:
    """How many whole windows a row of tokens gives; raises ValueError if none."""
    count = (len(tokens_N) - 1) // seq_len
    if count < 1:
        raise ValueError(
            f"train.data: {len(tokens_N)} tokens are less than one sample of {seq_len + 1}"
        )
    return count


def check_size(dataset: Dataset, seq_len: int) -> None:
    """Raises ValueError where there is too little text to learn from, or to evaluate on later."""
    for side, tokens_N in (("to learn from", dataset.train_N), ("held out", dataset.held_out_N)):
        if len(tokens_N) <= seq_len:
            raise ValueError(
                f"train.data: too little text: {len(tokens_N)} tokens {side} are less than one "
                f"sample of {seq_len + 1}"
            )


def windows(tokens_N: Tokens, indices: Sequence[int], seq_len: int) -> Tokens:
    """The samples of these indices, one a row: (len(indices), seq_len + 1)."""
    starts_B = np.asarray(indices, dtype=np.int64)[:, None] * seq_len
    rows_BT: Tokens = tokens_N[starts_B + np.arange(seq_len + 1)]
    return rows_BT


def _trained_tokenizer(texts: Sequence[str], vocab_size: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _encode(tokenizer: Tokenizer, documents: Sequence[Document]) -> Tokens:
    texts = [document.text for document in documents]
    end = np.asarray([tokenizer.token_to_id(END_OF_TEXT)], dtype=np.int32)
    pieces: list[Tokens] = []
    for encoding in tokenizer.encode_batch_fast(texts, add_special_tokens=False):
        pieces += [np.asarray(encoding.ids, dtype=np.int32), end]
    return np.concatenate(pieces)


def _write(uri: str, dataset: Dataset) -> None:
    arrays = {"train": dataset.train_N, "held_out": dataset.held_out_N}
    about = json.dumps({"recipe": RECIPE, "sha256": dataset.sha256}).encode()
    files = {TOKENS: safetensors.numpy.save(arrays), TOKENIZER: dataset.tokenizer}
    try:
        write_folder(uri, {**files, ABOUT: about})
    except OSError as error:
        if not exists(uri):
            raise error


def _read_cached(uri: str) -> Dataset | None:
    try:
        dataset = _read(uri)
        about = json.loads(read_file(join_uri(uri, ABOUT)))
    except (OSError, ValueError, KeyError, SafetensorError):
        return None
    return dataset if about.get("sha256") == dataset.sha256 else None


def _read(uri: str) -> Dataset:
    arrays = safetensors.numpy.load(read_file(join_uri(uri, TOKENS)))
    tokenizer = read_file(join_uri(uri, TOKENIZER))
    return Dataset(arrays["train"], arrays["held_out"], tokenizer)
