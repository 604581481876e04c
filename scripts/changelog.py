"""Moves what waits in ``changes/`` to a section of ``CHANGELOG.md``: ``python scripts/changelog.py 1.2.0 2026-01-31``."""

from __future__ import annotations

import re
import sys
from datetime import date
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
TITLES = {"feature": "Added", "change": "Changed", "fix": "Fixed"}
UNRELEASED = "## Unreleased"
_FRAGMENT = re.compile(r"[a-z0-9][a-z0-9-]*\.(?P<type>[a-z]+)\.md")


def fragments(folder: Path) -> list[tuple[str, Path]]:
    """
    The type and path of each waiting change, in the order of ``TITLES``, then by name.

    Raises:
        ValueError: For a file that is not named ``<slug>.<type>.md`` with one of the types.
    """
    found = []
    for path in sorted(folder.glob("*")):
        if path.name == "README.md":
            continue
        name = _FRAGMENT.fullmatch(path.name)
        if not name or name["type"] not in TITLES:
            raise ValueError(f"changes/{path.name} is not <slug>.<{'|'.join(TITLES)}>.md")
        found.append((name["type"], path))
    return sorted(found, key=lambda each: list(TITLES).index(each[0]))


def section(version: str, day: date, entries: list[tuple[str, str]]) -> str:
    """The section of one release, from the type and text of each change."""
    parts = [f"## {version} - {day}"]
    for kind, title in TITLES.items():
        if texts := [f"- {' '.join(text.split())}" for each, text in entries if each == kind]:
            parts.append("\n".join([f"### {title}", "", *texts]))
    return "\n\n".join(parts)


def main(version: str, day: str, project: Path = PROJECT) -> None:
    """Write the section below ``Unreleased`` and remove the files that it was made of."""
    waiting = fragments(project / "changes")
    changelog = project / "CHANGELOG.md"
    made = section(version, date.fromisoformat(day), [(kind, path.read_text()) for kind, path in waiting])
    changelog.write_text(changelog.read_text().replace(UNRELEASED, f"{UNRELEASED}\n\n{made}", 1))
    for _, path in waiting:
        path.unlink()


if __name__ == "__main__":
    main(*sys.argv[1:])
