"""Keeps the command quick to start: plain values need no conversion by a library.

Typer converts every value of every parameter with pydantic, text included, and importing pydantic
takes longer than all the rest of a start. Here values that are right as they are skip that;
everything else takes Typer's way, its messages included. A Typer that works otherwise is left
alone.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Any

import typer

_UNSEEN = object()


def quicken(command: Any) -> Any:
    """The same command tree, whose parameters take plain values as they are."""
    for param in command.params:
        _quicken(param)
    _quicken_help(command)
    for inner in (getattr(command, "commands", None) or {}).values():
        quicken(inner)
    return command


def _quicken(param: Any) -> None:
    if getattr(param, "_runtime_param", _UNSEEN) is None and hasattr(param, "type_descriptor"):
        param._runtime_param = _Plain(param)


def _quicken_help(command: Any) -> None:
    """The help option is made when it is first asked for."""
    make = command.get_help_option

    def get_help_option(ctx: Any) -> Any:
        option = make(ctx)
        _quicken(option)
        return option

    command.get_help_option = get_help_option


class _Plain:
    """Stands where Typer keeps a parameter's converter."""

    def __init__(self, param: Any) -> None:
        self._annotation = param.type_descriptor.annotation

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """The value of the parameter from what the command line or the default says."""
        found = _plain(value, self._annotation, many=param.multiple or param.nargs == -1)
        if found is not _UNSEEN:
            return found
        param._runtime_param = None
        try:
            return param.get_runtime_param().coerce(value, param=param, ctx=ctx)
        except typer.BadParameter as error:  # pydantic begins its sentences with this
            error.message = error.message.removeprefix("Value error, ")
            raise


def _plain(value: Any, wanted: Any, *, many: bool) -> Any:
    if value is None:
        return () if many else None
    if many:
        is_text = wanted == list[str] and isinstance(value, list | tuple)
        return list(value) if is_text else _UNSEEN
    if isinstance(wanted, type) and type(value) is wanted:
        return value
    if wanted is Path and isinstance(value, str):
        return Path(value)
    if isinstance(wanted, type) and issubclass(wanted, StrEnum) and value in list(wanted):
        return wanted(value)
    return _UNSEEN
