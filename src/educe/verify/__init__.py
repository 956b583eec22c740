"""Checkers: what a text answers, and whether two answers are the same."""

from educe.verify.answers import AnswerKind, Verdict, canonical, check, equivalent, extract, group

__all__ = ["AnswerKind", "Verdict", "canonical", "check", "equivalent", "extract", "group"]
