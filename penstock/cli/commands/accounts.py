"""`penstock project create`, `token create` and `revoke`."""

from __future__ import annotations

import click

from penstock.cli.failures import CliError
from penstock.cli.options import Format, check_word, names, output_option, quiet_option
from penstock.cli.output.show import show_data, show_short
from penstock.cli.session import Session

ROLES = ("viewer", "member", "admin")


@click.command()
@click.argument("name", metavar="NAME")
@output_option
@quiet_option
@click.pass_obj
def create_project(session: Session, name: str, output: Format, quiet: bool) -> None:
    """Make a project; tokens for it are made with `token create`."""
    session.console.quiet = quiet
    made = session.api().projects.create(name)
    if not show_short(session.console, made, output, quiet):
        session.console.result(f"made {made['name']} ({made['id']})")
        session.console.note(f"  next: penstock token create NAME --project {made['name']}")


@click.command()
@click.argument("name", metavar="NAME")
@click.option("--role", default="member", metavar="ROLE", help="viewer, member or admin.")
@click.option("--project", metavar="NAME", help="Its project; needed unless the role is admin.")
@click.option("--expires-in", metavar="TIME", help="Such as 12h or 30d; default: never.")
@output_option
@click.pass_obj
def create_token(
    session: Session, /, role: str, project: str | None, output: Format, **more: str | None
) -> None:
    """Make a token. Its secret is shown this once; -o name prints the secret alone."""
    check_word("--role", role, ROLES)
    if role != "admin" and project is None:
        raise CliError("project_missing", f"--role {role} needs a project: give --project NAME")
    body = {"role": role, "project": project, **more}
    given = {key: value for key, value in body.items() if value is not None}
    made = session.api().tokens.create(given)
    if not show_data(session.console, made, output):
        session.console.note(f"token {made['name']} ({made['id']}), role {made['role']}:")
        session.console.result(made["secret"])


@click.command()
@click.argument("token", metavar="TOKEN", help="Its id.", shell_complete=names("tokens"))
@click.pass_obj
def revoke_token(session: Session, token: str) -> None:
    """Revoke a token: whoever uses it is denied from now on."""
    session.api().tokens.revoke(token)
    session.console.note(f"revoked {token}")
