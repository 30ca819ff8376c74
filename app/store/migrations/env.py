"""Alembic's door: one connection, handed in by surefoot.app.store.migrate."""

from alembic import context

from surefoot.app.store.tables import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    render_as_batch=True,
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
