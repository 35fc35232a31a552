"""Documents that people write, YAML or JSON, read strictly and with their places."""

from penstock.documents.bounds import Limits
from penstock.documents.model import Document, DocumentError, Place, escape_pointer
from penstock.documents.parse import DEFAULT, parse_document

__all__ = [
    "DEFAULT",
    "Document",
    "DocumentError",
    "Limits",
    "Place",
    "escape_pointer",
    "parse_document",
]
