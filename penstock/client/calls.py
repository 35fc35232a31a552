"""A call of the API is described once; which client it belongs to says how it is made.

The method of a noun only says what is asked and which type the answer has. On a `Client` it
returns that type, on an `AsyncClient` something to await, on a `DocumentClient` the JSON as it
came, which needs no type to be imported.
"""

from __future__ import annotations

import functools
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Generic,
    ParamSpec,
    TypeVar,
    get_args,
    get_type_hints,
    overload,
)

from penstock.client.requests import Document, Request

if TYPE_CHECKING:
    from pydantic import TypeAdapter

    from penstock.client.async_http import AsyncHttp
    from penstock.client.http import Http

P = ParamSpec("P")
T = TypeVar("T")


class Typed:
    """Answers are wire types."""


class Awaited:
    """Answers are wire types that are waited for."""


class Plain:
    """Answers are documents."""


ModeT = TypeVar("ModeT", bound=Typed | Awaited | Plain, covariant=True)


class Noun(Generic[ModeT]):
    """Calls about one kind of object."""

    def __init__(self, http: Http | AsyncHttp, *, typed: bool = True) -> None:
        self.http: Any = http
        self.typed = typed


AnyNoun = Noun[Any]


class Call(Generic[P, T]):
    """Base of what makes a method out of the description of a call."""

    def __init__(self, describe: Callable[Concatenate[Any, P], Request[T]]) -> None:
        functools.update_wrapper(self, describe)  # type: ignore[arg-type]
        self.describe = describe

    @functools.cached_property
    def answer(self) -> TypeAdapter[T]:
        """Reads the answer as the type that the description names."""
        from pydantic import TypeAdapter

        from penstock.client import models

        hints = get_type_hints(self.describe, localns={"m": models})
        return TypeAdapter(get_args(hints["return"])[0])

    def bind(self, noun: AnyNoun) -> Callable[P, object]:
        """The method of this noun."""

        @functools.wraps(self.describe)
        def method(*args: P.args, **kwargs: P.kwargs) -> object:
            return self.ask(noun, self.describe(noun, *args, **kwargs))

        return method

    def ask(self, noun: AnyNoun, request: Request[T]) -> object:
        """Carries the call out."""
        raise NotImplementedError

    def from_json(self, noun: AnyNoun) -> Callable[[bytes | str], object]:
        read = self.answer.validate_json if noun.typed else json.loads
        return lambda content: read(content) if content else None


class one(Call[P, T]):
    """Answered by one object."""

    @overload
    def __get__(self, noun: Noun[Typed], owner: object = None) -> Callable[P, T]: ...
    @overload
    def __get__(
        self, noun: Noun[Awaited], owner: object = None
    ) -> Callable[P, Coroutine[Any, Any, T]]: ...
    @overload
    def __get__(self, noun: Noun[Plain], owner: object = None) -> Callable[P, Document]: ...
    def __get__(self, noun: AnyNoun, owner: object = None) -> Callable[P, object]:
        return self.bind(noun)

    def ask(self, noun: AnyNoun, request: Request[T]) -> object:
        return noun.http.one(request, self.from_json(noun))


class ended(one[P, T]):
    """Answered by one object, once it has ended."""

    def ask(self, noun: AnyNoun, request: Request[T]) -> object:
        return noun.http.when_ended(request, self.from_json(noun))


class many(Call[P, T]):
    """Answered by a list, page by page."""

    @overload
    def __get__(self, noun: Noun[Typed], owner: object = None) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(
        self, noun: Noun[Awaited], owner: object = None
    ) -> Callable[P, AsyncIterator[T]]: ...
    @overload
    def __get__(
        self, noun: Noun[Plain], owner: object = None
    ) -> Callable[P, Iterator[Document]]: ...
    def __get__(self, noun: AnyNoun, owner: object = None) -> Callable[P, object]:
        return self.bind(noun)

    def ask(self, noun: AnyNoun, request: Request[T]) -> object:
        if noun.typed:
            return noun.http.many(request, self.answer.validate_python)
        return noun.http.items(request)


class stream(many[P, T]):
    """Answered by events, until there are no more."""

    def ask(self, noun: AnyNoun, request: Request[T]) -> object:
        return noun.http.events(request, self.from_json(noun))


class blocks(Call[P, bytes]):
    """Answered by bytes as they come."""

    @overload
    def __get__(
        self, noun: Noun[Typed | Plain], owner: object = None
    ) -> Callable[P, Iterator[bytes]]: ...
    @overload
    def __get__(
        self, noun: Noun[Awaited], owner: object = None
    ) -> Callable[P, AsyncIterator[bytes]]: ...
    def __get__(self, noun: AnyNoun, owner: object = None) -> Callable[P, object]:
        return self.bind(noun)

    def ask(self, noun: AnyNoun, request: Request[bytes]) -> object:
        return noun.http.blocks(request)


class text(Call[P, str]):
    """Answered by bytes, all of them in memory as text."""

    @overload
    def __get__(self, noun: Noun[Typed | Plain], owner: object = None) -> Callable[P, str]: ...
    @overload
    def __get__(
        self, noun: Noun[Awaited], owner: object = None
    ) -> Callable[P, Coroutine[Any, Any, str]]: ...
    def __get__(self, noun: AnyNoun, owner: object = None) -> Callable[P, object]:
        return self.bind(noun)

    def ask(self, noun: AnyNoun, request: Request[str]) -> object:
        return noun.http.one(request, lambda content: content.decode("utf-8", "replace"))
