"""A real browser: search while typing, open a paper, run it, ask, by keyboard; the whole way of a reader by mail, from
subscribing to leaving; without JavaScript; accessibility."""

import asyncio
import re
import shutil
import sqlite3
import sys
import threading
from pathlib import Path

import pytest

from .conftest import Mailbox
from .test_server import QUICK, Server

playwright = pytest.importorskip("playwright.async_api", reason="playwright is not installed")
pytestmark = pytest.mark.slow
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WAIT = 60_000
DAY = 1_795_132_800  # 2026-11-20 in UTC
# Chromium's own errands (updates, experiments, fonts) are none of ours, and tests reach nothing but loopback.
QUIET = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--no-first-run", "--no-default-browser-check", "--disable-default-apps", "--metrics-recording-only",
         "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1"]  # fmt: skip


@pytest.fixture(scope="module")
def mails():
    """A real SMTP server in a thread of its own, as tests come and go with their event loops."""
    mailbox, loop = Mailbox(), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(mailbox.open(), loop).result(10)
    yield mailbox
    asyncio.run_coroutine_threadsafe(mailbox.close(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory, mails):
    settings = {
        "EDUCE_SMTP_URL": mails.url,
        "EDUCE_MAIL_FROM": "educe <papers@example.org>",
        "EDUCE_SITE_URL": "http://localhost:{port}",
    }
    started = Server(tmp_path_factory.mktemp("browser"), **settings)
    yield started
    started.stop()


@pytest.fixture
async def browser():
    if BROWSER is None:
        pytest.skip("there is no Chromium on the path")
    playwright.expect.set_options(timeout=WAIT)
    async with playwright.async_playwright() as driver:
        opened = await driver.chromium.launch(executable_path=BROWSER, args=QUIET)
        yield opened
        await opened.close()


@pytest.fixture
async def page(browser, server):
    context = await browser.new_context(base_url=f"http://localhost:{server.port}")
    context.set_default_timeout(WAIT)
    opened = await context.new_page()
    opened.problems, opened.foreign = [], []
    opened.on("console", lambda said: opened.problems.append(said.text) if said.type == "error" else None)
    opened.on("pageerror", lambda error: opened.problems.append(str(error)))
    opened.on("request", lambda sent: None if f":{server.port}" in sent.url else opened.foreign.append(sent.url))
    yield opened
    await context.close()
    # A blocked inline style or script, a missing file, any error: the console would say so.
    assert not opened.problems
    assert not opened.foreign


async def test_from_search_to_a_finished_run(page):
    await page.goto("/")
    await page.keyboard.press("/")
    assert await page.evaluate("document.activeElement.id") == "q"
    await page.keyboard.type("string diagr", delay=30)
    first = page.locator("#found [data-row] h2 a").first
    await playwright.expect(first).to_contain_text("String Diagram")
    assert "/search?q=string" in page.url
    await page.keyboard.press("Escape")
    await page.keyboard.press("j")
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"**/papers/{QUICK}")
    await page.get_by_label("Scale").select_option("smoke")
    await page.locator("#run ~ .panel button[type=submit]").first.press("Enter")
    live = page.locator("#live")
    await playwright.expect(live).to_contain_text("Cancel")
    await playwright.expect(live).to_contain_text("Finished:")
    figure = live.locator("figure img")
    await playwright.expect(figure).to_be_visible()
    assert await figure.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
    await page.reload()
    await playwright.expect(page.locator("table", has_text="finished")).to_be_visible()


async def test_asking_shows_samples_and_a_permalink(page):
    await page.goto("/ask")
    await page.get_by_role("textbox", name="Question", exact=True).fill("How many legs do three spiders have?")
    await page.get_by_label("Model").fill("fake:The answer is 24.|The answer is 18.")
    await page.get_by_label("Samples").fill("12")
    await page.get_by_role("button", name="Ask").click()
    await page.wait_for_url("**/answers/*")
    await playwright.expect(page.locator(".state")).to_contain_text("Answer:")
    await playwright.expect(page.locator(".samples li")).to_have_count(12)
    bars = page.get_by_role("group", name="Posterior over answers").locator("progress")
    shares = [float(await bar.get_attribute("value")) for bar in await bars.all()]
    assert abs(sum(shares) - 1) < 1e-9
    address = page.url
    await page.goto("/")
    await page.goto(address)
    await playwright.expect(page.locator(".samples li")).to_have_count(12)


async def arrived(mails, before):
    """The link in the text of the next mail."""
    message = await mails.expect(before + 1)
    assert message["to"] == "ada@example.org"
    text = message.get_body(("plain",)).get_content()
    # The HTML part has the same link and loads nothing.
    html = message.get_body(("html",)).get_content()
    link = re.search(r"http://\S+/confirm\?\S+", text)[0]
    assert link in html.replace("&amp;", "&")
    assert "<img" not in html
    return link


async def test_a_reader_subscribes_by_mail_votes_unsubscribes_and_leaves(page, server, mails):
    # Double opt-in: nothing before the button behind the link of the mail.
    sent = len(mails.received)
    await page.goto("/subscribe?topic=reasoning")
    await page.get_by_role("textbox", name="address").fill("ada@example.org")
    assert await page.get_by_label("reasoning", exact=True).is_checked()
    await page.get_by_role("button", name="Send the confirmation").click()
    await playwright.expect(page.locator("main")).to_contain_text("ada@example.org")
    link = await arrived(mails, sent)
    await page.goto(link)
    await page.get_by_role("button", name="Confirm").click()
    await playwright.expect(page.locator("main")).to_contain_text("ada@example.org")
    await page.goto(link)
    await playwright.expect(page.locator("main")).to_contain_text("used already")
    page.problems.clear()  # The console tells of the answer's status, 410.

    # A vote asks who is there, and signing in leads back to the paper.
    await page.goto(f"/papers/{QUICK}")
    await page.locator("button[aria-pressed]").first.click()
    await page.wait_for_url("**/sign-in?next=**")
    sent = len(mails.received)
    await page.get_by_role("textbox", name="address").fill("ada@example.org")
    await page.locator("main").get_by_role("button").click()
    await page.goto(await arrived(mails, sent))
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_url(f"**/papers/{QUICK}")
    button = page.locator("button[aria-pressed]").first
    await button.click()
    await playwright.expect(button).to_have_attribute("aria-pressed", "true")
    await playwright.expect(button).to_contain_text("1")
    await page.reload()
    await playwright.expect(button).to_have_attribute("aria-pressed", "true")
    await button.click()
    await playwright.expect(button).to_have_attribute("aria-pressed", "false")
    await button.click()
    await playwright.expect(button).to_have_attribute("aria-pressed", "true")

    # The account shows the digest; one button ends it.
    await page.goto("/account")
    await playwright.expect(page.locator("table")).to_contain_text("reasoning")
    await page.get_by_role("button", name="End the digest on reasoning").click()
    await playwright.expect(page.locator("table")).to_have_count(0)

    # Leaving takes the vote along.
    await page.get_by_role("link", name="Delete your account").click()
    await page.get_by_role("button", name="Delete my account").click()
    await playwright.expect(page.locator("h1")).to_contain_text("deleted")
    await page.goto(f"/papers/{QUICK}")
    await playwright.expect(button).to_contain_text("0")
    await page.goto("/account")
    await page.wait_for_url("**/sign-in?next=**")


async def test_the_link_of_a_digest_unsubscribes(page, server, mails):
    """`educe site send-digests` sends a real issue; its link needs no session."""
    with sqlite3.connect(server.folder / "site.sqlite") as database:
        database.execute("INSERT INTO people (id, email, created, confirmed) VALUES (7, 'bob@example.org', 1, 1)")
        database.execute("INSERT INTO subscriptions (person_id, rhythm, topic, created, confirmed) "
                         "VALUES (7, 'daily', '', 1, 1)")  # fmt: skip
        database.execute("UPDATE papers SET added = ? WHERE slug = ?", (DAY - 43_200, QUICK))
    database.close()
    sent = len(mails.received)
    command = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "educe.cli.main", "site", "send-digests", "--rhythm", "daily", "--day", "2026-11-20",
        env=server.environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await command.communicate()
    assert command.returncode == 0, (out, err)
    message = await mails.expect(sent + 1)
    assert message["to"] == "bob@example.org"
    link = re.search(r"http://\S+/unsubscribe\S+", message.get_body(("plain",)).get_content())[0]
    assert f"<{link}>" in message["list-unsubscribe"]
    await page.goto(link)
    await page.get_by_role("button", name="End the daily digest").click()
    await playwright.expect(page.locator("h1")).to_have_text("Ended")
    with sqlite3.connect(server.folder / "site.sqlite") as database:
        ended = database.execute("SELECT ended FROM subscriptions WHERE person_id = 7").fetchone()[0]
    database.close()
    assert ended


async def test_the_copy_button_copies(page):
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await page.goto(f"/papers/{QUICK}")
    await page.locator('[data-copy="command"]').click()
    assert await page.evaluate("navigator.clipboard.readText()") == f"educe run {QUICK} --scale small"


async def test_more_papers_are_added_below(page):
    await page.goto("/")
    await page.get_by_role("link", name="More papers").click()
    await playwright.expect(page.locator("[data-row]")).to_have_count(40)


async def test_everything_but_live_progress_works_without_scripts(browser, server):
    context = await browser.new_context(base_url=f"http://localhost:{server.port}", java_script_enabled=False)
    context.set_default_timeout(WAIT)
    page = await context.new_page()
    await page.goto("/")
    await page.locator("#q").fill("causal")
    await page.locator("#q").press("Enter")
    await page.wait_for_url("**/search?q=causal")
    await page.locator("[data-row] h2 a").first.click()
    assert "/papers/" in page.url
    await page.goto("/ask")
    await page.get_by_role("textbox", name="Question", exact=True).fill("2 + 2?")
    await page.get_by_label("Model").fill("fake:The answer is 4.")
    await page.get_by_role("button", name="Ask").click()
    await page.wait_for_url("**/answers/*")
    # The page refreshes itself while the answer forms.
    await playwright.expect(page.locator(".state")).to_contain_text("Answer: 4")
    await context.close()


@pytest.mark.parametrize("width", [320, 640, 1280])
@pytest.mark.parametrize("path", ["/", "/papers/causal-de-finetti", "/ask", "/about", "/topics"])
async def test_nothing_is_cut_off_at_any_width(page, width, path):
    # 640 pixels are a 1280-pixel window at 200 % zoom.
    await page.set_viewport_size({"width": width, "height": 900})
    await page.goto(path)
    assert await page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["/", "/?by=month", "/papers/causal-de-finetti", "/papers/unsupervised-pretraining", "/ask",
                                  "/about", "/topics", "/search?q=causal", "/nope"])  # fmt: skip
async def test_axe_finds_nothing_serious(browser, server, scheme, path):
    axe_module = pytest.importorskip("axe_playwright_python.base", reason="axe-core is not installed")
    script = (Path(axe_module.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
    # axe must be injected, which our policy forbids to anyone else.
    context = await browser.new_context(
        base_url=f"http://localhost:{server.port}", color_scheme=scheme, bypass_csp=True
    )
    page = await context.new_page()
    await page.goto(path)
    await page.evaluate(script)
    found = await page.evaluate("axe.run()")
    serious = [
        f"{item['id']}: {item['nodes'][0]['html'][:200]}"
        for item in found["violations"]
        if item["impact"] in ("serious", "critical")
    ]
    await context.close()
    assert not serious
