"""`penstock project`: projects, made and listed."""

from __future__ import annotations

from typing import Annotated

import typer

from penstock.cli.options import Format, OutputOption, QuietOption
from penstock.cli.output import columns
from penstock.cli.output.show import data_text, show_list
from penstock.cli.session import session_of
from penstock.client import routes


def register(group: typer.Typer) -> None:
    group.command("create")(create_project)
    group.command("list")(list_projects)


def create_project(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False)],
    output: OutputOption = Format.TABLE,
    quiet: QuietOption = False,
) -> None:
    """Make a project; tokens for it are made with `token create`."""
    session = session_of(ctx)
    session.console.quiet = quiet
    made = session.http().document(routes.create("projects", {"name": name}))
    if output in (Format.JSON, Format.YAML):
        session.console.result(data_text(session.console, made, output))
    elif quiet or output == Format.NAME:
        session.console.result(str(made["id"] if quiet else made["name"]))
    else:
        session.console.result(f"made {made['name']} ({made['id']})")
        session.console.note(f"  next: penstock token create NAME --project {made['name']}")


def list_projects(
    ctx: typer.Context, output: OutputOption = Format.TABLE, quiet: QuietOption = False
) -> None:
    """List the projects that you belong to; administrators see all."""
    session = session_of(ctx)
    show_list(
        session.console,
        lambda: list(session.http().items(routes.read("projects"))),
        columns.PROJECTS,
        output,
        quiet=quiet,
    )
