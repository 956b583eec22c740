"""Measure which of the example questions the default model answers right, greedily and by vote, and how surely.

Writes ``examples/measured.json``: for each question the share of right samples, and for greedy decoding and the vote
whether the answer was right; plus totals. The question of `make run` was picked from this table.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import educe
from educe.core import run_sync
from educe.verify.answers import equivalent

ROOT = Path(__file__).parents[1] / "examples"


def main() -> None:
    """Answer all questions twice and write the table."""
    name = sys.argv[1] if len(sys.argv) > 1 else "smollm2-135m"
    lm = educe.load(name)
    reference = {row["id"]: row["answer"] for row in map(json.loads, (ROOT / "reference.jsonl").open(encoding="utf-8"))}
    rows = []
    for line in (ROOT / "questions.jsonl").open(encoding="utf-8"):
        question = educe.Question.from_json(json.loads(line))
        right = reference[question.id]

        def is_right(answer: educe.Answer, right: str = right, question: educe.Question = question) -> bool:
            return equivalent(answer.text, right, question.answer_kind, question.choices)

        greedy = run_sync(educe.ask(question, lm, "greedy"))
        vote = run_sync(educe.ask(question, lm, "self-consistency:16"))
        rows.append(
            {
                "id": question.id,
                "question": question.text,
                "right": right,
                "greedy": greedy.mode().text if greedy.confidence else None,
                "greedy_right": bool(greedy.confidence) and is_right(greedy.mode()),
                "vote": vote.mode().text if vote.confidence else None,
                "vote_right": bool(vote.confidence) and is_right(vote.mode()),
                "confidence": round(vote.confidence, 3),
                "share_right": round(vote.probability(is_right) * len(vote) / 16, 3),
                "unread": vote.details["unread"],
                "seconds": round(greedy.ledger.seconds + vote.ledger.seconds, 1),
            }
        )
        print(json.dumps(rows[-1]), flush=True)
    total = len(rows)
    result = {
        "lm": name,
        "seed": 0,
        "load": [round(value, 2) for value in os.getloadavg()],
        "greedy_accuracy": sum(row["greedy_right"] for row in rows) / total,
        "vote_accuracy": sum(row["vote_right"] for row in rows) / total,
        "mean_share_right": sum(row["share_right"] for row in rows) / total,
        "questions": rows,
    }
    (ROOT / "measured.json").write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print({key: value for key, value in result.items() if key != "questions"})


if __name__ == "__main__":
    main()
