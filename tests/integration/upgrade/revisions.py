"""Migrations as they were, or as they may come: copies with fewer or more revisions."""

from __future__ import annotations

import shutil
from pathlib import Path

from control_plane.store.database.migrate import MIGRATIONS

_FILE = '''"""{revision}"""

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = "{down}"
{mark}


def upgrade() -> None:
    {body}
'''


def names(migrations: Path = MIGRATIONS) -> list[str]:
    """All revisions, oldest first."""
    files = (migrations / "versions").glob("*.py")
    return sorted(file.stem.partition("_")[0] for file in files if file.stem != "__init__")


def copied(folder: Path, until: str | None = None) -> Path:
    """The migrations of this version in a folder of their own, up to one of them."""
    made = folder / f"migrations-{until}"
    shutil.copytree(MIGRATIONS, made, ignore=shutil.ignore_patterns("__pycache__"))
    for name in names(made):
        if until is not None and name > until:
            next((made / "versions").glob(f"{name}*.py")).unlink()
    return made


def add(
    migrations: Path, body: str = "pass", expands: bool | None = True, down: str | None = None
) -> str:
    """Writes an invented next revision; `None` is one that forgot to say whether it expands."""
    present = names(migrations)
    revision = f"next{len(present):02}"
    mark = "" if expands is None else f"expands = {expands}"
    text = _FILE.format(revision=revision, down=down or present[-1], mark=mark, body=body)
    (migrations / "versions" / f"{revision}.py").write_text(text, encoding="utf-8")
    return revision
