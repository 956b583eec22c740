"""The tables as first released, and the full-text index of each database."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

WORK_STATES = "state IN ('queued', 'running', 'finished', 'failed', 'cancelled', 'interrupted')"
OPEN = sa.text("state IN ('queued', 'running')")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
# The tokenizer does not stem: a stemmed index loses "inferen" on the way from "infer" to "inference".
SQLITE_TEXT = (
    """
    CREATE VIRTUAL TABLE papers_text USING fts5(
        title, authors, summary, claim, abstract,
        content = 'papers', content_rowid = 'id', prefix = '2 3', tokenize = 'unicode61 remove_diacritics 2'
    )
    """,
    """
    CREATE TRIGGER papers_text_insert AFTER INSERT ON papers BEGIN
        INSERT INTO papers_text (rowid, title, authors, summary, claim, abstract)
        VALUES (new.id, new.title, new.authors, new.summary, new.claim, new.abstract);
    END
    """,
    """
    CREATE TRIGGER papers_text_delete AFTER DELETE ON papers BEGIN
        INSERT INTO papers_text (papers_text, rowid, title, authors, summary, claim, abstract)
        VALUES ('delete', old.id, old.title, old.authors, old.summary, old.claim, old.abstract);
    END
    """,
    """
    CREATE TRIGGER papers_text_update AFTER UPDATE OF title, authors, summary, claim, abstract ON papers BEGIN
        INSERT INTO papers_text (papers_text, rowid, title, authors, summary, claim, abstract)
        VALUES ('delete', old.id, old.title, old.authors, old.summary, old.claim, old.abstract);
        INSERT INTO papers_text (rowid, title, authors, summary, claim, abstract)
        VALUES (new.id, new.title, new.authors, new.summary, new.claim, new.abstract);
    END
    """,
)
POSTGRESQL_TEXT = (
    """
    ALTER TABLE papers ADD COLUMN words tsvector GENERATED ALWAYS AS (
        setweight(to_tsvector('simple', title), 'A') || setweight(to_tsvector('simple', authors::text), 'B') ||
        setweight(to_tsvector('simple', coalesce(summary, '') || ' ' || coalesce(claim, '')), 'C') ||
        setweight(to_tsvector('simple', coalesce(abstract, '')), 'D')
    ) STORED
    """,
    "CREATE INDEX papers_words ON papers USING gin (words)",
)


def upgrade() -> None:
    """Make everything."""
    op.create_table(
        "state",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "people",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("confirmed", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("email"),
    )
    op.create_index("people_unconfirmed", "people", ["confirmed", "created"])
    op.create_table(
        "papers",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("slug", sa.String(length=80), nullable=False),
        sa.Column("arxiv", sa.String(length=40), nullable=True),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("authors", sa.JSON(), nullable=False),
        sa.Column("abstract", sa.Text(), nullable=True),
        sa.Column("summary", sa.Text(), nullable=True),
        sa.Column("claim", sa.Text(), nullable=True),
        sa.Column("published", sa.BigInteger(), nullable=False),
        sa.Column("precision", sa.String(length=5), nullable=False),
        sa.Column("source", sa.String(length=12), nullable=False),
        sa.Column("added", sa.BigInteger(), nullable=False),
        sa.Column("submitter", NUMBER, nullable=True),
        sa.Column("hidden", sa.Integer(), nullable=False),
        sa.Column("runs_here", sa.Integer(), nullable=False),
        sa.Column("verdict", sa.String(length=12), nullable=True),
        sa.Column("votes", sa.Integer(), nullable=False),
        sa.Column("heat", sa.Float(), nullable=False),
        sa.CheckConstraint("precision IN ('day', 'month', 'year')", name="papers_precision"),
        sa.ForeignKeyConstraint(["submitter"], ["people.id"], ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("arxiv"),
        sa.UniqueConstraint("slug"),
    )
    op.create_index("papers_by_date", "papers", ["hidden", "published", "id"])
    op.create_index("papers_by_heat", "papers", ["hidden", "heat", "id"])
    op.create_index("papers_by_run", "papers", ["hidden", "runs_here", "published", "id"])
    op.create_table(
        "paper_topics",
        sa.Column("topic", sa.String(length=60), nullable=False),
        sa.Column("published", sa.BigInteger(), nullable=False),
        sa.Column("paper_id", NUMBER, nullable=False),
        sa.ForeignKeyConstraint(["paper_id"], ["papers.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("topic", "published", "paper_id"),
    )
    op.create_index("paper_topics_by_paper", "paper_topics", ["paper_id"])
    op.create_table(
        "votes",
        sa.Column("person_id", NUMBER, nullable=False),
        sa.Column("paper_id", NUMBER, nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["paper_id"], ["papers.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["person_id"], ["people.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("person_id", "paper_id"),
    )
    op.create_index("votes_by_paper", "votes", ["paper_id", "created"])
    op.create_table(
        "subscriptions",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("person_id", NUMBER, nullable=False),
        sa.Column("rhythm", sa.String(length=6), nullable=False),
        sa.Column("topic", sa.String(length=60), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("confirmed", sa.BigInteger(), nullable=True),
        sa.Column("ended", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("rhythm IN ('daily', 'weekly')", name="subscriptions_rhythm"),
        sa.ForeignKeyConstraint(["person_id"], ["people.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("person_id", "topic", name="subscriptions_once"),
    )
    op.create_table(
        "tokens",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("purpose", sa.String(length=20), nullable=False),
        sa.Column("person_id", NUMBER, nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["person_id"], ["people.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_index("tokens_by_expiry", "tokens", ["expires"])
    op.create_table(
        "mails",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("address", sa.String(length=254), nullable=False),
        sa.Column("issue", sa.String(length=80), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("changed", sa.BigInteger(), nullable=False),
        sa.Column("message_id", sa.String(length=200), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint("state IN ('waiting', 'sending', 'sent', 'failed')", name="mails_state"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("address", "issue", name="mails_once"),
    )
    op.create_index("mails_by_state", "mails", ["state", "created"])
    op.create_table(
        "runs",
        sa.Column("id", sa.String(length=22), nullable=False),
        sa.Column("slug", sa.String(length=80), nullable=False),
        sa.Column("scale", sa.String(length=5), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=11), nullable=False),
        sa.Column("requester", sa.String(length=80), nullable=False),
        sa.Column("progress", sa.JSON(), nullable=False),
        sa.Column("report", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("figure", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("cancel", sa.Integer(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("started", sa.BigInteger(), nullable=True),
        sa.Column("ended", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(WORK_STATES, name="runs_state"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("runs_by_paper", "runs", ["slug", "created"])
    op.create_index("runs_one_open", "runs", ["requester"], unique=True, sqlite_where=OPEN, postgresql_where=OPEN)
    op.create_index("runs_by_state", "runs", ["state", "created"])
    op.create_table(
        "answers",
        sa.Column("id", sa.String(length=22), nullable=False),
        sa.Column("question", sa.JSON(), nullable=False),
        sa.Column("method", sa.String(length=200), nullable=False),
        sa.Column("lm", sa.String(length=200), nullable=False),
        sa.Column("budget", sa.String(length=200), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=11), nullable=False),
        sa.Column("requester", sa.String(length=80), nullable=False),
        sa.Column("progress", sa.JSON(), nullable=False),
        sa.Column("result", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("cancel", sa.Integer(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("started", sa.BigInteger(), nullable=True),
        sa.Column("ended", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(WORK_STATES, name="answers_state"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("answers_one_open", "answers", ["requester"], unique=True, sqlite_where=OPEN, postgresql_where=OPEN)
    op.create_index("answers_by_state", "answers", ["state", "created"])

    op.execute("INSERT INTO state (name, value) VALUES ('content', 0)")
    for statement in SQLITE_TEXT if op.get_bind().dialect.name == "sqlite" else POSTGRESQL_TEXT:
        op.execute(statement)
