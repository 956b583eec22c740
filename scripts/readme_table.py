"""Write the table of the papers into the README, between its two markers; ``--check`` only compares.

The state of a paper is read from the library and from ``results/``: "shown", "not shown" or "withheld" is the
verdict of the committed small-scale run, "not yet" means that there is nothing to run.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from educe.papers.catalogue import list_cards, runs_here

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- papers: begin -->", "<!-- papers: end -->"


def state(slug: str) -> str:
    """Say how far a paper is: "not yet", or the verdict of its committed result."""
    if not runs_here(slug):
        return "not yet"
    result = ROOT / "results" / f"{slug}.json"
    return str(json.loads(result.read_text(encoding="utf-8"))["verdict"]) if result.exists() else "runs, no result yet"


def table() -> str:
    """Return the table as Markdown."""
    lines = ["| paper | year | room | state |", "|---|---|---|---|"]
    for card in list_cards():
        title = card.title.replace("|", "\\|")
        name = f"[{title}]({card.url})" if card.url else title
        lines.append(f"| {name} (`{card.slug}`) | {card.year} | {card.room} | {state(card.slug)} |")
    return "\n".join(lines)


def main() -> int:
    """Rewrite or compare; exit code 1 when ``--check`` finds a difference."""
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    head, rest = text.split(BEGIN)
    _, tail = rest.split(END)
    wanted = f"{head}{BEGIN}\n{table()}\n{END}{tail}"
    if "--check" in sys.argv[1:]:
        if wanted != text:
            print("README.md: the table of papers is out of date; run `python scripts/readme_table.py`")
            return 1
        return 0
    readme.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
