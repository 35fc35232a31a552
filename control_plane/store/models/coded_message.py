"""Messages as rows keep them: code and parameters, and beside them the English of the moment, which
older servers read and write.
"""

from __future__ import annotations

from zlib import crc32

from sqlalchemy.orm import Mapped

from control_plane.store.models.base import Long
from penstock.api.messages import Message, said
from penstock.catalogue import render
from penstock.json_types import Json


def message_columns(message: Message) -> tuple[str, Json]:
    """The English and the document that a row keeps."""
    text = render(message)
    return text, {**message.document, "of": crc32(text.encode())}


def read_message(text: str, document: Json | None) -> Message:
    """What the row tells. Where an older server wrote the text alone, that is all there is."""
    if document is None or document["of"] != crc32(text.encode()):
        return said(text)
    return Message(document["code"], document["params"])


class HasMessage:
    """A row with one message."""

    message: Mapped[Long]
    message_document: Mapped[Json | None]

    @property
    def coded_message(self) -> Message:
        return read_message(self.message, self.message_document)
