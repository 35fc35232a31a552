"""`penstock project`: projects, made and listed."""

from __future__ import annotations

import click

from penstock.cli.options import Format, output_option, quiet_option
from penstock.cli.output import columns
from penstock.cli.output.show import data_text, show_list
from penstock.cli.session import Session


@click.command()
@click.argument("name", metavar="NAME")
@output_option
@quiet_option
@click.pass_obj
def create_project(session: Session, name: str, output: Format, quiet: bool) -> None:
    """Make a project; tokens for it are made with `token create`."""
    session.console.quiet = quiet
    made = session.api().projects.create(name)
    if output in (Format.JSON, Format.YAML):
        session.console.result(data_text(session.console, made, output))
    elif quiet or output == Format.NAME:
        session.console.result(str(made["id"] if quiet else made["name"]))
    else:
        session.console.result(f"made {made['name']} ({made['id']})")
        session.console.note(f"  next: penstock token create NAME --project {made['name']}")


@click.command()
@output_option
@quiet_option
@click.pass_obj
def list_projects(session: Session, output: Format, quiet: bool) -> None:
    """List the projects that you belong to; administrators see all."""
    show_list(
        session.console,
        lambda: list(session.api().projects.list()),
        columns.PROJECTS,
        output,
        quiet=quiet,
    )
