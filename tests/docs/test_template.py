"""The page that adds an exchange shows the template."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("name", ["acme.py", "acme_wire.py"])
def test_the_page_shows_the_template(project, name):
    """Each module of it, as it is copied."""
    page = (project / "docs" / "adding-an-exchange.md").read_text()

    assert f"```python\n{(project / 'docs' / 'template' / name).read_text()}```" in page
