"""Reads one YAML or JSON document strictly, in bounded time and memory.

Owns syntax: broken text, duplicate keys, tags, aliases without end. What a document means is
left to the types of `penstock.api`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from penstock.documents.bounds import Limits, check_values
from penstock.documents.json_reader import from_json
from penstock.documents.model import Document, DocumentError, Place, place_of, require_mapping

DEFAULT: Final = Limits()


def parse_document(data: bytes, *, syntax: str | None = None, limits: Limits = DEFAULT) -> Document:
    """The mapping in `data`. `syntax` is json or yaml; by default a leading brace means JSON.

    Raises DocumentError.
    """
    if len(data) > limits.num_bytes:
        raise DocumentError("document_too_large", num_bytes=len(data), most=limits.num_bytes)
    text = _decode(data)
    if not text.strip():
        raise DocumentError("empty_document")
    places: Mapping[str, Place] = {}
    if (syntax or ("json" if text.lstrip()[0] == "{" else "yaml")) == "json":
        found: object = from_json(data, text, limits)
    else:
        from penstock.documents.yaml_reader import from_yaml  # PyYAML takes time to import

        found, places = from_yaml(text, limits)
    value = require_mapping(found)
    check_values(value, limits)
    return Document(value, places)


def _decode(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8", "replace")
        raise DocumentError("not_utf8", place=place_of(before, len(before))) from error
