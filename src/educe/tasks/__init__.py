"""Tasks: procedural problems with exact checkers, split by content."""

from educe.tasks.problem import SPLITS, Family, Problem, split_of
from educe.tasks.registry import FAMILIES, make, stream

__all__ = ["FAMILIES", "SPLITS", "Family", "Problem", "make", "split_of", "stream"]
