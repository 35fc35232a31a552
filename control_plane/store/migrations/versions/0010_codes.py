"""What states and events tell, as a code with parameters beside the English of the moment."""

from __future__ import annotations

from alembic import op

from control_plane.store.migrations.columns import document

revision: str = "0010"
down_revision: str | None = "0009"
expands = True


def upgrade() -> None:
    for table in ("jobs", "gangs", "replicas", "endpoints", "events"):
        op.add_column(table, document("message_document", null=True))
    for column in ("health_message_document", "intent_message_document"):
        op.add_column("nodes", document(column, null=True))
