"""A real browser: search while typing, open a paper, run it, ask, by keyboard; without JavaScript; accessibility."""

import shutil
from pathlib import Path

import pytest

from .test_server import QUICK, Server

playwright = pytest.importorskip("playwright.async_api", reason="playwright is not installed")
pytestmark = pytest.mark.slow
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WAIT = 60_000


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    started = Server(tmp_path_factory.mktemp("browser"))
    yield started
    started.stop()


@pytest.fixture
async def browser():
    if BROWSER is None:
        pytest.skip("there is no Chromium on the path")
    playwright.expect.set_options(timeout=WAIT)
    async with playwright.async_playwright() as driver:
        opened = await driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
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
