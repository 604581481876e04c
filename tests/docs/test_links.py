"""The documentation holds together."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent.parent
PAGES = sorted(
    path.relative_to(PROJECT).as_posix()
    for path in [
        *PROJECT.glob("*.md"),
        *(page for folder in ("changes", "docs", "examples") for page in PROJECT.glob(f"{folder}/**/*.md")),
    ]
)
DECISIONS = [page for page in PAGES if page.startswith("docs/decisions/")]
_LINK = re.compile(r"\]\((?!https?://|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)")
_MENTION = re.compile(r"`((?:src|tests|docs|scripts|bench|examples)/[\w./-]+\.\w+)`")


def _slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    """Each link to a file, and to a heading of it, finds it."""
    broken = []
    for target, anchor in _LINK.findall((PROJECT / page).read_text()):
        path = (PROJECT / page).parent / target if target else PROJECT / page
        headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE) if path.is_file() and anchor else []
        if not path.exists() or (anchor and anchor not in map(_slug, headings)):
            broken.append(f"{target}#{anchor}")

    assert [] == broken


@pytest.mark.parametrize("page", PAGES)
def test_files_that_are_named_exist(page):
    """A path of the repository in backticks is one."""
    assert [] == [name for name in _MENTION.findall((PROJECT / page).read_text()) if not (PROJECT / name).exists()]


def test_every_page_is_reached_from_the_index():
    """The index links each page below docs/."""
    linked = {target for target, _ in _LINK.findall((PROJECT / "docs/index.md").read_text())}

    assert [] == [page for page in PAGES if page.startswith("docs/") and page[5:] not in {*linked, "index.md"}]


@pytest.mark.parametrize("page", DECISIONS)
def test_decisions_have_the_same_headings(page):
    """Context, Decision, Consequences, Alternatives, References; and what enforces it."""
    text = (PROJECT / page).read_text()

    expected = ["Context", "Decision", "Consequences", "Alternatives", "References"]
    assert expected == re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert text.startswith(f"# {Path(page).name[:4]} ")
    assert "Enforced by" in text
