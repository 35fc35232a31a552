"""Where the command's settings come from: options, environment, and the contexts file.

The only place of the client that reads the environment.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from penstock.cli.failures import CliError, ExitCode
from penstock.private_files import home_mode, write_private

if TYPE_CHECKING:
    from penstock.client.requests import Document

DEFAULT_PORT: Final = 8470
DEFAULT_SERVER: Final = f"http://127.0.0.1:{DEFAULT_PORT}"
LOCAL: Final = "local"
COMPLETE: Final = "_PENSTOCK_COMPLETE"
"""A completion script says in it what it wants."""
CONTEXTS_FILE: Final = "config.json"


@dataclass(frozen=True, slots=True)
class Context:
    """A server and the token for it."""

    server: str
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Settings:
    """What the options and the environment say. The token is shown nowhere."""

    home: Path
    is_usual_home: bool = True
    server: str | None = None
    token: str | None = field(default=None, repr=False)
    context: str | None = None
    color: bool = True

    def with_options(
        self, home: Path | None, server: str | None, context: str | None, no_color: bool
    ) -> Settings:
        """Options beat the environment."""
        return replace(
            self,
            home=(home or self.home).expanduser().absolute(),
            is_usual_home=self.is_usual_home and home is None,
            server=self.server if server is None else server,
            context=self.context if context is None else context,
            color=self.color and not no_color,
        )


@dataclass(frozen=True, slots=True)
class Contexts:
    """The contexts file: named servers, and which of them commands talk to."""

    current: str | None = None
    entries: Mapping[str, Context] = field(default_factory=dict)

    def with_entry(self, name: str, context: Context) -> Contexts:
        return Contexts(name, {**self.entries, name: context})

    def without(self, name: str) -> Contexts:
        kept = {key: entry for key, entry in self.entries.items() if key != name}
        return Contexts(None if self.current == name else self.current, kept)


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Settings from PENSTOCK_HOME, _SERVER, _TOKEN, _CONTEXT, from NO_COLOR and TERM."""
    return Settings(
        home=Path(environ.get("PENSTOCK_HOME") or "~/.penstock").expanduser().absolute(),
        server=environ.get("PENSTOCK_SERVER"),
        token=environ.get("PENSTOCK_TOKEN"),
        context=environ.get("PENSTOCK_CONTEXT"),
        color=not environ.get("NO_COLOR") and environ.get("TERM") != "dumb",
    )


def environment() -> Mapping[str, str]:
    """The environment of this process."""
    return os.environ


def child_environment(added: Mapping[str, str]) -> dict[str, str]:
    """The environment for a process that this command starts."""
    return {**os.environ, **added}


def read_contexts(home: Path) -> Contexts:
    """The contexts of a home; none where there is no file. Raises CliError for a broken one."""
    import json  # here and below: it takes time to import

    path = home / CONTEXTS_FILE
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        entries = {str(name): _entry(one) for name, one in document["contexts"].items()}
        return Contexts(document.get("current"), entries)
    except FileNotFoundError:
        return Contexts()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CliError(
            "broken_contexts",
            f"{path} is not a contexts file: {error}",
            hint="remove it and run `penstock login` again",
        ) from error


def write_contexts(home: Path, contexts: Contexts) -> None:
    """Replaces the contexts file whole, readable by its owner only."""
    import json

    entries = {
        name: {"server": entry.server, "token": entry.token}
        for name, entry in contexts.entries.items()
    }
    text = json.dumps({"current": contexts.current, "contexts": entries}, indent=2) + "\n"
    home.mkdir(parents=True, exist_ok=True, mode=home_mode())
    write_private(home / CONTEXTS_FILE, text)


def resolve(settings: Settings) -> Context:
    """The server and token to use.

    A token of the contexts file is only ever sent to the server it was saved with. Raises
    CliError, also for a setting that is there and empty: who meant another login must not get
    the saved one.
    """
    _check_not_empty(settings)
    contexts = read_contexts(settings.home)
    name = settings.context or contexts.current
    if settings.context and settings.context not in contexts.entries:
        raise no_such_context(settings.context, contexts)
    chosen = contexts.entries.get(name or "")
    if settings.server is None:
        chosen = chosen or Context(DEFAULT_SERVER)
        return replace(chosen, token=settings.token or chosen.token)
    known = [chosen, *contexts.entries.values()]
    same = [one for one in known if one is not None and one.server == settings.server]
    return Context(settings.server, settings.token or (same[0].token if same else None))


def is_chosen(settings: Settings) -> bool:
    """Whether an option, the environment or a saved login says which server to talk to."""
    chosen = settings.server or settings.context or read_contexts(settings.home).current
    return chosen is not None


def no_such_context(name: str | None, contexts: Contexts) -> CliError:
    """The error for a name that no login was saved under."""
    return CliError(
        "no_such_context",
        f"there is no saved login `{name}`" if name else "no login is saved",
        hint=f"there are: {', '.join(contexts.entries) or 'none'}",
        exit_code=ExitCode.NOT_FOUND,
    )


def _check_not_empty(settings: Settings) -> None:
    for where, value in (
        ("PENSTOCK_TOKEN", settings.token),
        ("PENSTOCK_SERVER or --server", settings.server),
        ("PENSTOCK_CONTEXT or --context", settings.context),
    ):
        if value is not None and not value.strip():
            raise CliError(
                "empty_setting",
                f"{where} is empty: give it a value, or leave it out to use the saved login",
                hint=f"unset {where.partition(' ')[0]}",
            )


def _entry(document: Document) -> Context:
    return Context(str(document["server"]), document.get("token"))
