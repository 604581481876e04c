"""The steps to the present tables."""

from __future__ import annotations

import hashlib

from chandlery.database.schema import MIGRATIONS

PUBLISHED = (
    "ea103b892ba68b2e",
    "014acea6945ebae5",
    "07f97551944f566e",
    "8c344dbc9c5a3ab1",
    "d0a11fda5d70c266",
    "197601c185bd5d36",
    "c104ccbdc34addaa",
    "8627ed1e3cfc754c",
    "d8e3ea3fc6a5ed14",
)
"""The fingerprint of each step."""


def test_a_step_is_never_changed():
    """Files that took it already would never get the change: add a step, and its fingerprint here."""
    found = tuple(hashlib.sha256("\n".join(steps).encode()).hexdigest()[:16] for steps in MIGRATIONS)

    assert PUBLISHED == found
