"""What an Enrolee knows of its own enrolment; earlier, the labels of its Kpm or Ke said it.

The rows are sealed, and the key ring is not at hand here: ``enrolment.adopt`` reads the labels, in the same
transaction.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "enrolment",
        sa.Column("only", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("mef", sa.Text, nullable=False),
        sa.Column("address", sa.Text),
        sa.Column("transport", sa.Text),
        sa.Column("enrolee", sa.Text, nullable=False),
        sa.Column("targets", sa.Text, nullable=False),
        sa.Column("enrolment_expiry", sa.BigInteger, nullable=False),
        sa.Column("release", sa.Integer, nullable=False),
        sa.Column("kpm_id", sa.Text),
        sa.Column("ends", sa.BigInteger),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
    )


def downgrade() -> None:
    """Remove it: an Enrolee must be enrolled again."""
    op.drop_table("enrolment")
