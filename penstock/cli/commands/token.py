"""`penstock token`: API tokens, made, listed, revoked."""

from __future__ import annotations

from typing import Annotated

import typer

from penstock.cli.failures import CliError
from penstock.cli.options import Format, OutputOption, QuietOption, check_word
from penstock.cli.output import columns
from penstock.cli.output.show import data_text, show_list
from penstock.cli.session import session_of
from penstock.client import routes

ROLES = ("viewer", "member", "admin")


def register(group: typer.Typer) -> None:
    group.command("create")(create_token)
    group.command("list")(list_tokens)
    group.command("revoke")(revoke_token)


def create_token(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False)],
    role: Annotated[str, typer.Option(metavar="ROLE", help="viewer, member or admin.")] = "member",
    project: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Its project; needed unless the role is admin."),
    ] = None,
    expires_in: Annotated[
        str | None, typer.Option(metavar="TIME", help="Such as 12h or 30d; default: never.")
    ] = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Make a token. Its secret is shown this once; -o name prints the secret alone."""
    session = session_of(ctx)
    check_word("--role", role, ROLES)
    if role != "admin" and project is None:
        raise CliError("project_missing", f"--role {role} needs a project: give --project NAME")
    body = {"name": name, "role": role, "project": project, "expires_in": expires_in}
    given = {key: value for key, value in body.items() if value is not None}
    made = session.http().document(routes.create("tokens", given))
    if output in (Format.JSON, Format.YAML):
        session.console.result(data_text(session.console, made, output))
    else:
        session.console.note(f"token {made['name']} ({made['id']}), role {made['role']}:")
        session.console.result(made["secret"])


def list_tokens(
    ctx: typer.Context, output: OutputOption = Format.TABLE, quiet: QuietOption = False
) -> None:
    """List tokens, without their secrets."""
    session = session_of(ctx)
    show_list(
        session.console,
        lambda: list(session.http().items(routes.read("tokens"))),
        columns.TOKENS,
        output,
        quiet=quiet,
    )


def revoke_token(
    ctx: typer.Context,
    token: Annotated[str, typer.Argument(metavar="TOKEN", help="Its id.", show_default=False)],
) -> None:
    """Revoke a token: whoever uses it is denied from now on."""
    session = session_of(ctx)
    session.http().send(routes.revoke_token(token))
    session.console.note(f"revoked {token}")
