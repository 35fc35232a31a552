"""The text that a job trains on: which files, and which of them are held out. Tokens come later."""

from __future__ import annotations

import hashlib
import os
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

STDLIB: Final = "stdlib"
HELD_OUT_ONE_IN: Final = 16
SKIPPED_FOLDERS: Final = frozenset(
    {"site-packages", "dist-packages", "test", "tests", "idle_test", "idlelib", "__pycache__"}
)


@dataclass(frozen=True, slots=True)
class Document:
    """One file's text under its path relative to the corpus folder."""

    path: str
    text: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Corpus:
    """The files a job learns from and the files it never sees."""

    train: tuple[Document, ...]
    held_out: tuple[Document, ...]

    @property
    def sha256(self) -> str:
        """Hash over paths, contents and the split."""
        parts = [
            f"{side} {document.path} {document.sha256}"
            for side, documents in (("train", self.train), ("held-out", self.held_out))
            for document in documents
        ]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def read_corpus(source: str, limit_bytes: int) -> Corpus:
    """Reads `stdlib` (the running Python's library without tests) or a folder of UTF-8 text.

    Takes files in the order of their paths' hashes up to the limit, so that a part of a large
    folder is a fair sample of it; a content's hash decides whether it is held out. Raises
    ValueError where the folder gives no two different texts.
    """
    folder = Path(sysconfig.get_path("stdlib") if source == STDLIB else source)
    if not folder.is_dir():
        raise ValueError(f"train.data: {source!r} is neither {STDLIB!r} nor a folder on this node")
    pattern = "*.py" if source == STDLIB else "*"
    documents = tuple(_within(_documents(folder, pattern), limit_bytes))
    held_out = tuple(document for document in documents if is_held_out(document.sha256))
    train = tuple(document for document in documents if not is_held_out(document.sha256))
    if not held_out and len(train) > 1:
        held_out, train = train[-1:], train[:-1]
    if not train or not held_out:
        raise ValueError(
            f"train.data: {source!r} holds {len(documents)} readable text files, at least two "
            "are needed: one to learn from and one to hold out"
        )
    return Corpus(train, held_out)


def is_held_out(sha256: str) -> bool:
    """Equal contents always fall on the same side."""
    return int(sha256[:8], 16) % HELD_OUT_ONE_IN == 0


def _documents(folder: Path, pattern: str) -> Iterator[Document]:
    paths = sorted(
        (hashlib.sha256(path.encode()).hexdigest(), path) for path in _paths(folder, pattern)
    )
    for _, path in paths:
        content = (folder / path).read_bytes()
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError:
            continue
        if text.strip():
            yield Document(path, text, hashlib.sha256(content).hexdigest())


def _paths(folder: Path, pattern: str) -> Iterator[str]:
    """Regular files below the folder; links and hidden names are left out."""
    for parent, folders, names in os.walk(folder):
        folders[:] = [
            name for name in folders if name not in SKIPPED_FOLDERS and not name.startswith(".")
        ]
        for name in names:
            path = Path(parent) / name
            wanted = path.match(pattern) and not name.startswith(".")
            if wanted and path.is_file() and not path.is_symlink():
                yield path.relative_to(folder).as_posix()


def _within(documents: Iterator[Document], limit_bytes: int) -> Iterator[Document]:
    taken = 0
    for document in documents:
        size = len(document.text.encode())
        if taken and taken + size > limit_bytes:
            return
        taken += size
        yield document
