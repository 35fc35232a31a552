"""From tokens to text while they arrive: whole characters only, and nothing of a stop string."""

from __future__ import annotations

from collections.abc import Callable, Sequence

Decode = Callable[[Sequence[int]], str]
REPLACEMENT = "\ufffd"
CONTEXT_TOKENS = 4
MOST_HELD_TOKENS = 32


class Detokenizer:
    """Decodes one sequence token by token.

    A token may end inside a character, and what a token reads as may depend on the one before
    (leading spaces), so a window of tokens is decoded again and only what became certain is
    given out. Text that does not end in U+FFFD is certain.
    """

    def __init__(self, decode: Decode, prompt: Sequence[int] = ()) -> None:
        self._decode = decode
        context = list(prompt[-CONTEXT_TOKENS:])
        if decode(context).endswith(REPLACEMENT):
            context = []
        self._window = context
        self._num_context = len(context)
        self._known = decode(context)

    def push(self, token: int) -> str:
        """The text that this token makes certain, often that of the token itself."""
        self._window.append(token)
        text = self._decode(self._window)
        held = len(self._window) - self._num_context
        if text.endswith(REPLACEMENT) and held < MOST_HELD_TOKENS:
            return ""
        return self._give(text)

    def flush(self) -> str:
        """What is still held back; bytes that never became a character read as U+FFFD."""
        return self._give(self._decode(self._window))

    def _give(self, text: str) -> str:
        fresh = text[len(self._known) :]
        self._window = self._window[self._num_context :] or self._window
        self._num_context = len(self._window)
        self._known = self._decode(self._window)
        return fresh


class StopFinder:
    """Cuts a text, given in pieces, before the first of several stop strings."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = [stop for stop in stops if stop]
        self._held = ""
        self.found = False

    def push(self, text: str) -> str:
        """What may be given out now: nothing that could be the beginning of a stop string."""
        if self.found:
            return ""
        self._held += text
        hits = [at for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if hits:
            self.found = True
            return self._held[: min(hits)]
        keep = max((_overlap(self._held, stop) for stop in self._stops), default=0)
        out, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return out

    def flush(self) -> str:
        """The rest, once no more text comes."""
        out, self._held = ("" if self.found else self._held), ""
        return out


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that begins `stop`."""
    longest = min(len(text), len(stop) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(stop[:size])), 0)
