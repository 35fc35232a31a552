"""Everything an agent can be told, by PENSTOCK_AGENT_* variables or by its command line.

The only place in the agent that reads the environment.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from penstock.api.ids import NAME_PATTERN

PASSED_ON: Final = (
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR",
    "LD_LIBRARY_PATH", "VIRTUAL_ENV", "PYTHONPATH", "SSL_CERT_FILE", "SSL_CERT_DIR",
)  # fmt: skip
"""Variables of the agent's own environment that replicas inherit; no other reaches them."""


TOKEN_VARIABLE: Final = "PENSTOCK_AGENT_JOIN_TOKEN"


class Settings(BaseSettings):
    """One agent. Durations are seconds, sizes bytes."""

    model_config = SettingsConfigDict(env_prefix="PENSTOCK_AGENT_", frozen=True, extra="ignore")

    server: str = Field(default="http://127.0.0.1:8470", description="base URL of the API")
    name: str = Field(default="local", pattern=NAME_PATTERN, description="the node's name")
    state_dir: Path = Field(
        default=Path.home() / ".penstock" / "agent", description="a folder on a local disk"
    )
    join_token: SecretStr | None = Field(default=None, description="needed once, to enrol")
    join_token_file: Path | None = Field(
        default=None, description="a file that holds it; removed once the node has joined"
    )
    ca_file: Path | None = Field(default=None, description="the one CA to trust the server by")
    insecure: bool = Field(
        default=False, description="send the credential over plain http to another host"
    )
    address: str | None = Field(
        default=None, description="where other nodes reach replicas here; default: found out"
    )
    emulated: str = Field(default="", description="chips to present, TYPE:COUNT,TYPE:COUNT")
    skip_chips: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="providers in agents/node/chips not to use, by name"
    )
    labels: Annotated[dict[str, str], NoDecode] = Field(
        default_factory=dict, description="node labels, KEY=VALUE,KEY=VALUE"
    )
    first_port: int = Field(
        default=20000, ge=1024, le=65535, description="first port that replicas may be given"
    )
    last_port: int = Field(default=29999, ge=1024, le=65535, description="last such port")
    metrics_port: int | None = Field(default=None, ge=0, le=65535, description="none: no exporter")
    metrics_host: str = Field(default="127.0.0.1", description="address of the exporter")
    workload_python: str = Field(default=sys.executable, description="runs Penstock's engine")
    log_cap_bytes: int = Field(
        default=64 << 20, ge=1 << 16, description="output of one replica kept while not shipped"
    )
    probe_interval_s: float = Field(default=60.0, gt=0, description="between looks for chips")
    sample_interval_s: float = Field(default=5.0, gt=0, description="between readings of chips")
    cgroups: bool = Field(default=True, description="false: limits by the fallback only")
    pid_namespace: bool = Field(
        default=True, description="false: replicas share the host's PID namespace"
    )
    project_users: bool = Field(
        default=True, description="false: replicas of all projects run as the agent's own user"
    )
    first_uid: int = Field(
        default=0x70000000,
        ge=1000,
        lt=0x7F000000,
        description="a project's user is this and its number; the group of all of them",
    )
    drain_on_exit: bool = Field(default=False, description="stop replicas when the agent ends")
    inherited: dict[str, str] = Field(default_factory=dict, description="passed on to replicas")

    @field_validator("skip_chips", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        return tuple(filter(None, value.split(","))) if isinstance(value, str) else value

    @field_validator("labels", mode="before")
    @classmethod
    def _pairs(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        pairs = [it.partition("=") for it in value.split(",") if it]
        if any(not key or not equals for key, equals, _ in pairs):
            raise ValueError("labels are written KEY=VALUE,KEY=VALUE")
        return {key: text for key, _, text in pairs}

    @model_validator(mode="after")
    def _port_range(self) -> Self:
        if self.first_port > self.last_port:
            raise ValueError("first_port is above last_port")
        return self

    def token(self) -> str | None:
        """The join token, from wherever it was given; of a file that was used up None. Raises
        OSError for an unreadable file.
        """
        if self.join_token_file is not None:
            with suppress(FileNotFoundError):
                return self.join_token_file.read_text(encoding="utf-8").strip()
            return None
        return self.join_token.get_secret_value() if self.join_token is not None else None


def forget_token(settings: Settings) -> None:
    """Removes the token's file: it is of no use any more. One that may not be removed stays."""
    file = settings.join_token_file
    if file is not None and file.is_file():
        with suppress(OSError):
            file.unlink()


def hide_join_token(argv: Sequence[str]) -> None:
    """Starts this process anew, under the same id, where its command line or environment has the
    join token: both stay readable under /proc for whatever runs as the same user. The token then
    comes through a pipe that is read once.
    """
    given = _parser().parse_known_args(argv)[0]
    names = {name.upper(): name for name in os.environ}
    given_by_env = os.environ.get(names.get(TOKEN_VARIABLE, ""), "")
    token = given.join_token or given_by_env
    if not token:
        return
    environ = {name: text for name, text in os.environ.items() if name.upper() != TOKEN_VARIABLE}
    begin = sys.orig_argv[: len(sys.orig_argv) - len(argv)]
    command = [*begin, *_without_token(argv)]
    if given.join_token_file is None and f"{TOKEN_VARIABLE}_FILE" not in names:
        reading, writing = os.pipe()
        os.write(writing, token.encode())
        os.close(writing)
        os.set_inheritable(reading, True)
        command += ["--join-token-file", f"/dev/fd/{reading}"]
    os.execve(sys.executable, command, environ)


def _without_token(argv: Sequence[str]) -> list[str]:
    kept, words = [], iter(argv)
    for word in words:
        if word == "--join-token":
            next(words, None)
        elif not word.startswith("--join-token="):
            kept.append(word)
    return kept


def read_settings(argv: Sequence[str]) -> Settings:
    """Command line over environment over defaults. Raises ValidationError; exits for --help."""
    given = {key: value for key, value in vars(_parser().parse_args(argv)).items() if value}
    return Settings(**given, inherited=_inherited(os.environ))


def _inherited(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: environ[name] for name in PASSED_ON if name in environ}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m agents", description="The node agent. Every option is also a variable."
    )
    for option, text in (
        ("--server", "base URL of the control plane"),
        ("--name", "the node's name"),
        ("--state-dir", "folder for credential, replicas and logs"),
        ("--join-token", "single-use token; a file or variable does not show in process lists"),
        ("--join-token-file", "file that holds the token"),
        ("--ca-file", "the one CA to trust the server by"),
        ("--address", "where other nodes reach replicas on this one"),
        ("--labels", "KEY=VALUE,KEY=VALUE"),
        ("--metrics-port", "serve Prometheus metrics there"),
        ("--workload-python", "interpreter for Penstock's engine"),
    ):
        parser.add_argument(option, help=text)
    parser.add_argument("--emulate", dest="emulated", help="TYPE:COUNT,TYPE:COUNT")
    parser.add_argument(
        "--no-cpu-chip",
        dest="skip_chips",
        action="store_const",
        const=("cpu",),
        help="do not offer the host's processors as chips",
    )
    for flag, text in (
        ("--insecure", "send the credential over plain http to another host"),
        ("--drain-on-exit", "stop replicas when the agent ends"),
    ):
        parser.add_argument(flag, action="store_true", help=text)
    return parser
