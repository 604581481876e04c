"""Version, changelog and the changes that wait agree."""

from __future__ import annotations

import re
import tomllib
from datetime import date

import pytest

import chandlery


@pytest.fixture
def changelog(script):
    """The script that assembles the changelog."""
    return script("changelog")


def test_version_is_the_same_everywhere(project):
    """pyproject.toml, the installed package and the changelog name one version."""
    version = tomllib.loads((project / "pyproject.toml").read_text())["project"]["version"]
    released = re.findall(r"^## (\d+\.\d+\.\d+) - ", (project / "CHANGELOG.md").read_text(), re.MULTILINE)

    assert version == chandlery.__version__
    assert not released or released[0] == version


def test_every_extra_is_needed(project):
    """An error of the library asks for it; ``all`` has each of them."""
    extras = tomllib.loads((project / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    sources = "".join(path.read_text() for path in (project / "src").rglob("*.py"))
    whole = extras.pop("all")

    assert [f"chandlery[{','.join(extras)}]"] == whole
    assert [] == [name for name in extras if f"chandlery[{name}]" not in sources and f'extra="{name}"' not in sources]


def test_changelog_is_in_order(project):
    """Unreleased comes first, then versions and dates, falling."""
    headings = re.findall(r"^## (.+)$", (project / "CHANGELOG.md").read_text(), re.MULTILINE)
    releases = [heading.split(" - ") for heading in headings[1:]]
    versions = [tuple(map(int, version.split("."))) for version, _ in releases]
    dates = [date.fromisoformat(day) for _, day in releases]

    assert headings[0] == "Unreleased"
    assert versions == sorted(set(versions), reverse=True)
    assert dates == sorted(dates, reverse=True)


def test_waiting_changes_are_well_formed(changelog, project):
    """Each is named for its type, and is a sentence."""
    for _, path in changelog.fragments(project / "changes"):
        text = path.read_text().strip()

        assert re.match(r"[A-Z`]", text), path.name
        assert text.endswith("."), path.name


def test_a_release_moves_what_waits_into_the_changelog(changelog, tmp_path):
    """The newest section comes first, changes are grouped by type, and their files are gone."""
    (tmp_path / "changes").mkdir()
    (tmp_path / "changes/README.md").write_text("how to")
    (tmp_path / "changes/b.fix.md").write_text("Mended\nit.\n")
    (tmp_path / "changes/a.fix.md").write_text("Mended that.\n")
    (tmp_path / "changes/z.feature.md").write_text("New.\n")
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## Unreleased\n\n## 0.1.0 - 2025-01-01\n")

    changelog.main("0.2.0", "2026-02-03", tmp_path)

    expected = (
        "# Changelog\n\n## Unreleased\n\n## 0.2.0 - 2026-02-03\n\n### Added\n\n- New.\n\n### Fixed\n\n"
        "- Mended that.\n- Mended it.\n\n## 0.1.0 - 2025-01-01\n"
    )
    assert expected == (tmp_path / "CHANGELOG.md").read_text()
    assert ["README.md"] == [path.name for path in (tmp_path / "changes").iterdir()]


@pytest.mark.parametrize("name", ["notes.txt", "thing.md", "thing.bug.md", "Thing.fix.md"])
def test_a_change_of_no_known_type_is_refused(changelog, tmp_path, name):
    """A file that would be lost at the release is an error that names it."""
    (tmp_path / name).write_text("X.")

    with pytest.raises(ValueError, match=re.escape(name)):
        changelog.fragments(tmp_path)
