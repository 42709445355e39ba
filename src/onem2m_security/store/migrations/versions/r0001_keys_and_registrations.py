"""The first tables: keys, client registrations, and which KEK seals new records."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the three tables and their indexes."""
    op.create_table(
        "key_records",
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("key_id", sa.Text, primary_key=True),
        sa.Column("source", sa.Text),
        sa.Column("targets", sa.Text, nullable=False),
        sa.Column("alias", sa.Text),
        sa.Column("suid", sa.Integer),
        sa.Column("issued", sa.BigInteger, nullable=False),
        sa.Column("expires", sa.BigInteger),
        sa.Column("parent", sa.Text),
        sa.Column("admin_fqdn", sa.Text),
        sa.Column("labels", sa.Text, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
    )
    for name, columns in (("alias", ["kind", "alias"]), ("parent", ["parent"]), ("expires", ["expires"])):
        present = sa.text(f"{columns[-1]} IS NOT NULL")
        op.create_index(
            f"key_records_{name}", "key_records", columns, sqlite_where=present, postgresql_where=present
        )
    op.create_index("key_records_source", "key_records", ["kind", "source"])
    op.create_table(
        "client_registrations",
        sa.Column("registration_id", sa.Text, primary_key=True),
        sa.Column("client", sa.Text, nullable=False),
        sa.Column("admin_fqdn", sa.Text, nullable=False),
        sa.Column("labels", sa.Text, nullable=False),
        sa.Column("issued", sa.BigInteger, nullable=False),
        sa.Column("expires", sa.BigInteger),
        sa.Column("assigned_key_id", sa.Text),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "client_registrations_client", "client_registrations", ["client", "admin_fqdn"], unique=True
    )
    op.create_table(
        "sealing_state",
        sa.Column("only", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("kek_id", sa.LargeBinary, nullable=False),
    )


def downgrade() -> None:
    """Remove them, with all keys."""
    op.drop_table("sealing_state")
    op.drop_table("client_registrations")
    op.drop_table("key_records")
