"""Text to tokens and back with the model's own tokenizer.json; chat messages to a prompt."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tokenizers import Tokenizer

from workloads.checkpoints.model_files import ModelFiles, read_document
from workloads.engine.text.chat import ChatTemplate, jinja_template, plain_template

_BYTE_FALLBACK: Final = re.compile(r"<0x([0-9A-F]{2})>")
_PRINTABLE: Final = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_OTHERS: Final = [it for it in range(256) if it not in _PRINTABLE]
_BYTE_OF: Final[Mapping[str, int]] = {
    **{chr(it): it for it in _PRINTABLE},
    **{chr(0x100 + place): it for place, it in enumerate(_OTHERS)},
}
"""Letters in which byte-level tokenizers write bytes (GPT-2's table): those that can be printed
stand for themselves, the others for letters from U+0100 on."""


@dataclass(frozen=True, slots=True)
class TextTokenizer:
    """A tokenizer with the model's way of writing a conversation down."""

    raw: Tokenizer
    chat: ChatTemplate
    adds_special: bool
    """Whether a rendered chat still needs the tokenizer's own special tokens (BOS)."""

    @property
    def num_tokens(self) -> int:
        return int(self.raw.get_vocab_size(with_added_tokens=True))

    def encode(self, text: str) -> list[int]:
        """Tokens of a plain prompt, with the special tokens that the tokenizer puts around.

        Raises UnicodeEncodeError for half a surrogate pair.
        """
        text.encode()
        return list(self.raw.encode(text).ids)

    def encode_chat(self, messages: Sequence[Mapping[str, object]]) -> list[int]:
        """Tokens of a conversation, up to where the assistant speaks.

        Raises ChatRefused, and UnicodeEncodeError for half a surrogate pair.
        """
        prompt = self.chat(messages)
        prompt.encode()
        return list(self.raw.encode(prompt, add_special_tokens=self.adds_special).ids)

    def decode(self, tokens: Sequence[int]) -> str:
        """Their text without special tokens; incomplete characters read as U+FFFD."""
        return str(self.raw.decode(list(tokens), skip_special_tokens=True))

    def token_text(self, token: int) -> str:
        """One token alone, special ones included; a part of a character reads as U+FFFD."""
        return str(self.raw.decode([token], skip_special_tokens=False))

    def token_bytes(self, token: int) -> list[int] | None:
        """The bytes that a token stands for, parts of characters too; None where its tokenizer
        does not say.
        """
        text, piece = self.token_text(token), str(self.raw.id_to_token(token))
        if fallback := _BYTE_FALLBACK.fullmatch(piece):
            return [int(fallback[1], 16)]
        if "\ufffd" not in text:
            return list(text.encode())
        known = [_BYTE_OF.get(letter) for letter in piece]
        return None if None in known else [it for it in known if it is not None]


def load_tokenizer(files: ModelFiles) -> TextTokenizer:
    """Reads tokenizer.json and the chat template; raises ModelRefused where they are broken.

    A tokenizer that is JSON but no tokenizer raises the library's bare Exception.
    """
    read_document(files.tokenizer)
    raw = Tokenizer.from_file(str(files.tokenizer))
    raw.no_truncation()
    raw.no_padding()
    settings = files.documents["tokenizer_config.json"]
    template = files.chat_template or _named_template(settings.get("chat_template"))
    if template is None:
        return TextTokenizer(raw, plain_template, adds_special=True)
    special = {key: _token_text(settings.get(key)) for key in ("bos_token", "eos_token")}
    return TextTokenizer(raw, jinja_template(template, special), adds_special=False)


def _named_template(value: object) -> str | None:
    """A template, or the one called `default` in a list of named ones."""
    if isinstance(value, list):
        named = {item.get("name"): item.get("template") for item in value}
        value = named.get("default")
    return value if isinstance(value, str) else None


def _token_text(value: object) -> str:
    """tokenizer_config.json writes a special token as a string or as an object."""
    text = value.get("content") if isinstance(value, dict) else value
    return text if isinstance(text, str) else ""
