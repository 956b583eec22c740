"""Every page answers, holds what it promises, escapes what it shows, and reads well to programs."""

import html
import re
from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest

from educe.papers.catalogue import list_cards
from educe.site.results import committed_report
from educe.site.schema import Paper, PaperTopic

SCRIPT = "<script>alert(1)</script>"
PAGES = ["/", "/?by=month", "/?by=day", "/?by=week&runs=true", "/trending", "/topics", "/topic/reasoning", "/search",
         "/search?q=causal", "/about", "/ask", "/papers/rpc", "/papers/causal-de-finetti"]  # fmt: skip
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}


class Checker(HTMLParser):
    """Collects what is wrong with a page: unclosed elements, inline code, foreign addresses, doubled ids."""

    def __init__(self):
        super().__init__()
        self.open, self.problems, self.ids, self.links, self.headings = [], [], set(), [], []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag not in VOID and not (self.open and "svg" in self.open and tag in ("path", "rect")):
            self.open.append(tag)
        if "style" in attributes or any(name.startswith("on") for name in attributes):
            self.problems.append(f"inline code on <{tag}>")
        if tag == "script" and "src" not in attributes:
            self.problems.append("inline script")
        if tag == "style":
            self.problems.append("inline style")
        if "id" in attributes:
            if attributes["id"] in self.ids:
                self.problems.append(f"two elements {attributes['id']}")
            self.ids.add(attributes["id"])
        for name in ("src", "action") if tag != "link" else ("href",):
            if urlsplit(attributes.get(name) or "").netloc:
                self.problems.append(f"<{tag}> loads from {attributes[name]}")
        if tag == "a":
            self.links.append(attributes["href"])
        if tag == "img" and "alt" not in attributes:
            self.problems.append("img without alt")
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(int(tag[1]))

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        if tag in ("path", "rect"):
            return
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"</{tag}> closes nothing")


def check(text):
    checker = Checker()
    checker.feed(text)
    assert not checker.open, checker.open
    assert not checker.problems
    assert checker.headings.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in zip(checker.headings, checker.headings[1:], strict=False))
    return checker


@pytest.mark.slow
@pytest.mark.parametrize("path", PAGES)
async def test_a_page_is_whole_and_loads_nothing_from_elsewhere(client, path):
    answer = await client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    check(answer.text)


@pytest.mark.slow
async def test_every_link_of_the_main_pages_leads_somewhere(client):
    seen = set()
    for path in PAGES[:9]:
        seen |= {link.partition("#")[0] for link in check((await client.get(path)).text).links if link.startswith("/")}
    assert len(seen) > 60
    for link in sorted(seen - {""}):
        # Pages for people alone send everybody else to sign in.
        assert (await client.get(html.unescape(link))).status_code in ((200, 303) if link == "/account" else (200,)), (
            link
        )


async def test_the_feed_shows_all_sixty_cards_over_its_pages(client):
    found, link = [], "/"
    while link:
        text = (await client.get(link)).text
        found += re.findall(r'<h2><a href="/papers/([^"]+)"', text)
        following = re.search(r'href="([^"]+)" rel="next" hx-get', text)
        link = html.unescape(following[1]) if following else None
    assert sorted(found) == sorted(card.slug for card in list_cards())


async def test_more_papers_come_as_rows_alone(client):
    text = (await client.get("/")).text
    link = html.unescape(re.search(r'hx-get="([^"]+)" hx-target="closest', text)[1])
    part = (await client.get(link, headers={"hx-request": "true"})).text
    assert "<html" not in part
    assert part.count("<article") == 20
    assert "<html" in (await client.get(link)).text


async def test_the_runs_here_filter_shows_what_runs(client, site):
    text = (await client.get("/?runs=true")).text
    shown = set(re.findall(r'<h2><a href="/papers/([^"]+)"', text))
    from educe.papers.catalogue import runs_here

    running = {card.slug for card in list_cards() if runs_here(card.slug)}
    assert shown <= running
    assert len(shown) == min(20, len(running))


@pytest.mark.parametrize("slug", ["causal-de-finetti", "unsupervised-pretraining"])
async def test_a_paper_shows_claim_and_measured_as_committed(client, slug):
    text = html.unescape((await client.get(f"/papers/{slug}")).text)
    report = committed_report(slug)
    for check_ in report["checks"]:
        assert check_["name"] in text
        assert check_["claimed"] in text
        assert check_["bar"] in text
    assert text.count("✗ failed") == sum(not item["passed"] for item in [*report["checks"], *report["controls"]])
    assert report["machine"] in text
    assert report["date"] in text
    assert f'src="/papers/{slug}/figure.svg"' in text
    state = {"shown": "Bar shown", "not shown": "Bar not shown", "withheld": "Verdict withheld"}[report["verdict"]]
    assert state in text


async def test_a_paper_without_reproduction_says_so(client):
    slug = next(card.slug for card in list_cards() if committed_report(card.slug) is None)
    text = (await client.get(f"/papers/{slug}")).text
    assert "Not yet here" in text or "No result yet" in text


@pytest.fixture
async def imported(site):
    with site.database.write(visible=True) as session:
        paper = Paper(
            slug="2501.00001", arxiv="2501.00001", title=f"A title {SCRIPT}", authors=[f"Eve {SCRIPT}"],
            abstract=f'Abstract {SCRIPT} "quoted" [x](javascript:alert(1)).', source="arxiv", published=1_735_689_600,
        )  # fmt: skip
        session.add(paper)
        session.flush()
        session.add(PaperTopic(topic="cs.LG", published=paper.published, paper_id=paper.id))
    return paper


@pytest.mark.parametrize("path", ["/", "/topic/cs.LG", "/search?q=title", "/papers/2501.00001"])
async def test_foreign_text_is_escaped(client, imported, path):
    text = (await client.get(path)).text
    check(text)
    assert "&lt;script&gt;alert(1)" in text


@pytest.mark.parametrize("path", ["/feed.atom", "/topic/cs.LG/feed.atom"])
async def test_foreign_text_in_a_feed_is_text(client, imported, path):
    from defusedxml.ElementTree import fromstring

    root = fromstring((await client.get(path)).content)
    titles = [item.text for item in root.iter("{http://www.w3.org/2005/Atom}title")]
    assert f"A title {SCRIPT}" in titles


async def test_foreign_text_in_markdown_makes_no_link_and_no_element(client, imported):
    from markdown_it import MarkdownIt

    answer = await client.get("/papers/2501.00001.md")
    assert answer.headers["content-type"] == "text/markdown; charset=utf-8"
    shown = MarkdownIt().render(answer.text)
    assert "<script" not in shown
    assert "javascript:" not in re.sub(r">[^<]*<", "><", shown)


@pytest.mark.slow
@pytest.mark.parametrize(
    "query", [SCRIPT, '"><img src=x onerror=alert(1)>', "{{ 7*7 }}", "' OR 1=1 --", "\u202e", "a" * 400]
)
async def test_a_query_is_shown_as_it_was_typed(client, query):
    answer = await client.get("/search", params={"q": query})
    assert answer.status_code == 200
    check(answer.text)
    assert "49" not in re.sub(r"\d{3,}", "", answer.text) or "{{" not in query
    part = await client.get("/search", params={"q": query}, headers={"hx-request": "true"})
    assert "<img src=x" not in part.text


@pytest.mark.slow
@pytest.mark.parametrize(
    "path",
    ["/papers/..%2f..%2fetc%2fpasswd", "/papers/%2e%2e", "/papers/x%00y", "/papers/RPC", "/papers/rpc%0d%0aSet-Cookie:x",
     "/static/..%2fapp.py", "/static/../app.py", "/static/%2e%2e%2fapp.py", "/static/.hidden", "/static/site.css%00",
     "/papers/..%2frpc/figure.svg", "/papers/no-such-paper", "/topic/no-such-topic", "/runs/../../x",
     "/runs/aaaaaaaaaaaaaaaa", "/answers/aaaaaaaaaaaaaaaa", "/answers/x", "/papers/" + "a" * 5000, "/nope",
     "/papers/rpc/figure.svg/x"],
)  # fmt: skip
async def test_tricks_in_addresses_find_nothing(client, path):
    answer = await client.get(path)
    assert answer.status_code == 404
    assert "set-cookie" not in answer.headers
    check(answer.text)


@pytest.mark.slow
@pytest.mark.parametrize(
    "path", ["/?cursor=x", "/?by=year", "/?by=day&on=yesterday", "/?by=day&on=2025-13-01", "/papers.json?limit=0",
             "/papers.json?limit=1000000", "/papers.json?cursor=;", "/search?q=" + "a" * 401, "/trending?cursor=1_1_1"]
)  # fmt: skip
async def test_what_cannot_be_meant_is_refused_in_words(client, path):
    answer = await client.get(path)
    assert answer.status_code == 422
    check(answer.text)
    program = await client.get(path, headers={"accept": "application/json"})
    assert program.json()["detail"]


async def test_programs_get_errors_as_json(client):
    answer = await client.get("/papers/no-such", headers={"accept": "application/json"})
    assert (answer.status_code, answer.json()) == (404, {"detail": "There is no such paper."})


async def test_days_around_the_ends_of_the_calendar_are_no_defect(client):
    for day in ("0001-01-01", "9999-12-31", "1969-12-31"):
        for by in ("day", "week", "month"):
            assert (await client.get(f"/?by={by}&on={day}")).status_code in (200, 422)
