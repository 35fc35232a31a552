"""Reads one YAML or JSON document strictly.

Owns syntax: broken text, duplicate keys, tags, aliases without end. What a document means is
left to the types of `penstock.api`.
"""

from __future__ import annotations

from typing import Final

from penstock.documents.json_reader import from_json
from penstock.documents.model import Document, DocumentError, place_of

MAX_DOCUMENT_BYTES: Final = 2**20


def parse_document(
    data: bytes, *, syntax: str | None = None, max_bytes: int = MAX_DOCUMENT_BYTES
) -> Document:
    """The mapping in `data`. `syntax` is json or yaml; by default a leading brace means JSON.

    Raises DocumentError.
    """
    if len(data) > max_bytes:
        raise DocumentError("too_large", f"is {len(data)} bytes long; at most {max_bytes} are read")
    text = _decode(data)
    if not text.strip():
        raise DocumentError("empty_document", "is empty; a mapping is needed")
    if (syntax or ("json" if text.lstrip()[0] == "{" else "yaml")) == "json":
        return from_json(text)
    from penstock.documents.yaml_reader import from_yaml  # PyYAML takes time to import

    return from_yaml(text)


def _decode(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8", "replace")
        raise DocumentError(
            "not_utf8", "is not UTF-8 text", place=place_of(before, len(before))
        ) from error
