"""The number of the last change to a credential, and with SQLite the triggers that raise it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_CHANGES = {
    "INSERT": "NEW.kind IN ('km', 'kpm')",
    "UPDATE": "OLD.kind IN ('km', 'kpm') OR NEW.kind IN ('km', 'kpm')",
    "DELETE": "OLD.kind IN ('km', 'kpm')",
}
_TRIGGER = """
CREATE TRIGGER credentials_{name} AFTER {event} ON key_records WHEN {concerned}
BEGIN UPDATE credential_state SET generation = generation + 1; END
"""


def upgrade() -> None:
    """Make the table, its one row, and the triggers."""
    made = op.create_table(
        "credential_state",
        sa.Column("only", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(made, [{"only": 1, "generation": 0}])
    if op.get_bind().dialect.name == "sqlite":
        for event, concerned in _CHANGES.items():
            op.execute(_TRIGGER.format(name=event.lower(), event=event, concerned=concerned))


def downgrade() -> None:
    """Remove them."""
    if op.get_bind().dialect.name == "sqlite":
        for event in _CHANGES:
            op.execute(f"DROP TRIGGER credentials_{event.lower()}")
    op.drop_table("credential_state")
