"""Documents that people write, YAML or JSON, read strictly and with their places."""

from penstock.documents.model import Document, DocumentError, Place, escape_pointer
from penstock.documents.parse import MAX_DOCUMENT_BYTES, parse_document

__all__ = [
    "MAX_DOCUMENT_BYTES",
    "Document",
    "DocumentError",
    "Place",
    "escape_pointer",
    "parse_document",
]
