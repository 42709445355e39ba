"""The tables of a BSF: its subscribers, and the bootstrappings that they made."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the two tables and their indexes."""
    op.create_table(
        "gba_subscribers",
        sa.Column("impi", sa.Text, primary_key=True),
        sa.Column("algorithm", sa.Text, nullable=False),
        sa.Column("amf", sa.Integer, nullable=False),
        sa.Column("sqn", sa.BigInteger, nullable=False),
        sa.Column("barred", sa.Integer, nullable=False),
        sa.Column("guss", sa.Text, nullable=False),
        sa.Column("entity", sa.Text),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "gba_contexts",
        sa.Column("b_tid", sa.Text, primary_key=True),
        sa.Column("impi", sa.Text, nullable=False),
        sa.Column("issued", sa.BigInteger, nullable=False),
        sa.Column("expires", sa.BigInteger, nullable=False),
        sa.Column("gba_u", sa.Integer, nullable=False),
        sa.Column("guss", sa.Text, nullable=False),
        sa.Column("entity", sa.Text),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("gba_contexts_impi", "gba_contexts", ["impi"])
    op.create_index("gba_contexts_expires", "gba_contexts", ["expires"])


def downgrade() -> None:
    """Remove them, with all subscribers."""
    op.drop_table("gba_contexts")
    op.drop_table("gba_subscribers")
