"""What an MEF commands its Enrolees, and what a device carried out last."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the two tables."""
    op.create_table(
        "mef_commands",
        sa.Column("command_id", sa.Text, primary_key=True),
        sa.Column("enrolee", sa.Text, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("queued", sa.BigInteger, nullable=False),
        sa.Column("issued", sa.BigInteger),
        sa.Column("reissued", sa.BigInteger),
        sa.Column("ended", sa.BigInteger),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("mef_commands_enrolee", "mef_commands", ["enrolee", "number"], unique=True)
    op.create_table(
        "last_command",
        sa.Column("only", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("mef", sa.Text, nullable=False),
        sa.Column("command_id", sa.Text, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
    )


def downgrade() -> None:
    """Remove them: commands that wait are lost."""
    op.drop_table("last_command")
    op.drop_index("mef_commands_enrolee", "mef_commands")
    op.drop_table("mef_commands")
