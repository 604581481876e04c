"""Check that the first line of each docstring in ``src`` begins with a verb in the imperative, or with a noun."""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PROJECT = Path(__file__).resolve().parent.parent
SOURCE = PROJECT / "src" / "chandlery"

REFUSED = re.compile(r"(?:What|Whether|Which|Who|Whom|Whose|How|Where|Why|When|The same|Nothing|Again)\b")
"""Beginnings that leave the reader to find the verb or the noun."""

EXCEPTIONS: dict[str, str] = {}
"""First lines that may begin so, each with its reason."""

MOST = 0
"""The number of first lines that still begin so. It may only shrink: lower it when you rewrite some."""


class FirstLine(NamedTuple):
    """The first line of a docstring, and its place."""

    path: Path
    number: int
    text: str

    @property
    def package(self) -> str:
        """The package below ``chandlery`` that holds it."""
        below = self.path.relative_to(SOURCE).parts
        return below[0] if len(below) > 1 else "chandlery"

    def __str__(self) -> str:
        """As editors and terminals link it."""
        return f"{self.path.relative_to(PROJECT)}:{self.number}: {self.text}"


def docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield line and text of each docstring of a module: its own, and those of classes, functions and attributes."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for before, each in zip([None, *node.body], node.body, strict=False):
            if before is not None and not isinstance(before, ast.Assign | ast.AnnAssign):
                continue
            if (
                isinstance(each, ast.Expr)
                and isinstance(each.value, ast.Constant)
                and isinstance(each.value.value, str)
            ):
                yield each.lineno, each.value.value


def refused(source: Path = SOURCE) -> Iterator[FirstLine]:
    """Yield the first lines below a folder that begin with a refused word."""
    for path in sorted(source.rglob("*.py")):
        for number, text in docstrings(ast.parse(path.read_text())):
            first = text.strip().partition("\n")[0].strip()
            if REFUSED.match(first) and first not in EXCEPTIONS:
                yield FirstLine(path, number, first)


def main(arguments: list[str]) -> int:
    """Print the count by package, all lines with ``--all``; the exit code is 1 where there are more than ``MOST``."""
    found = list(refused())
    if "--all" in arguments:
        print(*found, sep="\n")
    counts = Counter(each.package for each in found)
    by_package = ", ".join(f"{package} {count}" for package, count in counts.most_common())
    print(f"{len(found)} docstrings begin with a refused word, at most {MOST} may ({by_package or 'none'})")
    if len(found) > MOST:
        print("Begin with a verb in the imperative or a noun; --all lists them")
    elif len(found) < MOST:
        print(f"Lower MOST in scripts/check_docstrings.py to {len(found)}")
    return int(len(found) > MOST)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
