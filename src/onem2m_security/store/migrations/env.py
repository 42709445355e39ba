"""What Alembic runs to migrate: on the connection and in the transaction that the store has opened."""

from __future__ import annotations

from alembic import context

from onem2m_security.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
