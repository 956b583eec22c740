"""`educe serve` and `educe site`: the page and the API, and what their operator does."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["serve", "site"]

SENT_WORDS = {"sent": "sent", "failed": "failed", "waiting": "to be tried again later"}


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; others demand a key.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="Port; 0 takes any.")
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes that answer.")
@click.option("--lm", "models", multiple=True, help="Model to offer, perhaps as NAME=MODEL; give it once for each.")
@click.option("--proxy", is_flag=True, help="A reverse proxy on this machine names the visitors' addresses.")
@click.option("--log-texts", is_flag=True, help="Write visitors' texts and addresses into the log.")
def serve(host: str, port: int, workers: int, models: tuple[str, ...], proxy: bool, log_texts: bool) -> None:
    """Serve the page and the OpenAI-compatible API.

    \b
    educe serve
    curl http://127.0.0.1:8000/papers.json?limit=3

    Listens to this machine alone; with another --host every request must carry EDUCE_SERVER_KEY.
    """
    from educe.core.settings import default_model, server_key, site_url
    from educe.site.config import SiteConfig, is_loopback
    from educe.site.server import serve as serve_site

    name = f"[{host}]" if ":" in host else host
    # Links in mails need an address; the one that is listened on is right while this machine alone reads the page.
    local = f"http://{name}:{port}" if port and is_loopback(host) and server_key() is None else None
    config = SiteConfig(host=host, models=models or (default_model(),), log_texts=log_texts, url=site_url() or local)
    click.echo(f"The page is at http://{name}:{port}/ and the API at http://{name}:{port}/v1. Ctrl-C stops.", err=True)
    serve_site(config, port, workers=workers, proxy=proxy)


@click.group()
def site() -> None:
    """Look after the page's database."""


@site.command()
@click.argument("file", type=click.Path(path_type=Path))
def backup(file: Path) -> None:
    """Copy the page's database into FILE while the page goes on.

    \b
    educe site backup papers-2026-11-25.sqlite
    """
    from educe.site.config import SiteConfig
    from educe.site.database import Database

    database = Database(SiteConfig(key=None).database)
    database.backup(file)
    database.close()
    click.echo(f"wrote {file} ({file.stat().st_size / 1e6:.1f} MB)", err=True)


@site.command("import")
@click.option("--recent", metavar="CATEGORY", help="Newest papers of an arXiv category, for instance cs.CL.")
@click.option("--since", metavar="DAY", help="Everything on arXiv that changed since a day, by OAI-PMH.")
@click.option("--daily", metavar="DAY", help="The papers of one day on a daily-papers page.")
@click.option("--most", type=click.IntRange(1, 2000), default=200, show_default=True, help="Most papers of --recent.")
@click.option("--set", "set_name", default="cs", show_default=True, help="Set of the archive for --since.")
@click.option("--url", help="Address to ask instead of the service's own, for a mirror.")
def import_papers(
    recent: str | None, since: str | None, daily: str | None, most: int, set_name: str, url: str | None
) -> None:
    """Import papers into the page's database; what came so far is kept when this is stopped.

    \b
    educe site import --recent cs.CL --most 100
    educe site import --since 2026-11-24
    educe site import --daily 2026-11-24
    """
    import asyncio

    from educe.core import UsageError
    from educe.site import imports
    from educe.site.config import SiteConfig
    from educe.site.database import Database
    from educe.site.fetching import PoliteClient

    if sum(option is not None for option in (recent, since, daily)) != 1:
        raise UsageError("One kind of import at a time. Give one of --recent, --since and --daily.")

    async def run() -> imports.Imported:
        total = imports.Imported()
        async with PoliteClient() as client:
            if daily is not None:
                return await imports.import_daily(database, daily, client, url or imports.DAILY_URL)
            if recent is not None:
                parts = imports.import_recent(database, recent, most, client, url or imports.ATOM_URL)
            else:
                parts = imports.import_since(database, since or "", set_name, client, url or imports.OAI_URL)
            async for part in parts:
                total += part
                click.echo(f"{total.added} added, {total.revised} revised, {total.skipped} skipped", err=True)
        return total

    database = Database(SiteConfig(key=None).database)
    try:
        database.migrate()
        total = asyncio.run(run())
    finally:
        database.close()
    click.echo(f"{total.added} added, {total.revised} revised, {total.skipped} skipped")


@site.command("send-digests")
@click.option("--rhythm", type=click.Choice(["daily", "weekly"]), help="Only this rhythm; both when left out.")
@click.option("--day", metavar="DAY", help="The issue of this day instead of the newest; of a weekly one a Monday.")
def send_digests(rhythm: str | None, day: str | None) -> None:
    """Send the digests that are due, and whatever else waits; each reader gets an issue once, however often this runs.

    \b
    educe site send-digests
    educe site send-digests --rhythm weekly --day 2026-11-23

    A running `educe serve` does this by itself, from 6:00 UTC on.
    """
    import asyncio

    from educe.site.config import SiteConfig
    from educe.site.digests import chosen_issues, enqueue
    from educe.site.openai import ModelPool
    from educe.site.postman import Postman, report_lost, senders_lock
    from educe.site.state import Site

    issues = chosen_issues(rhythm, day)
    config = SiteConfig()
    opened = Site(config, ModelPool.of(config.models))
    try:
        opened.database.migrate()
        with senders_lock(opened) as mine:
            # While a server runs, what is being sent is not lost.
            for address, issue in report_lost(opened) if mine else []:
                click.echo(f"{issue} to {address}: it is not known whether it was sent; not sent again", err=True)
            made = sum(enqueue(opened, issue) for issue in issues)
            states = asyncio.run(Postman(opened).send_waiting())
    finally:
        opened.database.close()
    counts = ", ".join(f"{states[state]} {word}" for state, word in SENT_WORDS.items())
    click.echo(f"{made} digests made; of all mails {counts}")
