"""What mails are made of, and daily allowances."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the column and the table."""
    op.add_column("mails", sa.Column("payload", sa.JSON(), nullable=False, server_default=sa.text("'{}'")))
    op.create_table(
        "allowances",
        sa.Column("name", sa.String(length=300), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name", "day"),
    )
