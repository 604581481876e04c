"""
Tools for users to test their own code against chandlery.

``no_waiting`` needs no more than chandlery; the classes of tests need pytest, and what their modules name besides.
"""

from __future__ import annotations

from chandlery.core.lazy import exported

__all__, __getattr__, __dir__ = exported(__name__, __file__)
