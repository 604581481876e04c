"""The error tree is the one that its docstring draws."""

from __future__ import annotations

import pickle
import re

import pytest

from chandlery.core import errors
from chandlery.core.errors import ChandleryError, IncompleteData, RateLimited, RequestRejected
from chandlery.core.gaps import Gap, GapKind

_LINE = re.compile(r"^    (?P<rails>[│├└─ ]*)(?P<name>[A-Z]\w+)(?: {2,}(?P<text>.+))?$", re.MULTILINE)


def drawn() -> dict[str, tuple[str | None, bool]]:
    """Name to (parent, whether the text says retryable), as the docstring draws it."""
    found: dict[str, tuple[str | None, bool]] = {}
    path: list[str] = []
    for line in _LINE.finditer(errors.__doc__ or ""):
        depth = len(line["rails"]) // 4
        path[depth:] = [line["name"]]
        found[line["name"]] = (path[depth - 1] if depth else None, (line["text"] or "").startswith("retryable"))
    return found


def defined() -> dict[str, type[ChandleryError]]:
    """The classes of the module."""
    return {
        name: each for name, each in vars(errors).items() if isinstance(each, type) and issubclass(each, ChandleryError)
    }


def test_the_tree_is_the_one_that_is_drawn():
    """Same names, same parents, same ``retryable``."""
    expected = {name: (parent, retryable) for name, (parent, retryable) in drawn().items()}
    actual = {
        name: (None if each is ChandleryError else each.__base__.__name__, each.retryable)
        for name, each in defined().items()
    }

    assert expected == actual


def test_errors_are_no_builtin_kind():
    """``except ValueError`` or ``except OSError`` never swallows one of ours."""
    assert all(each.__mro__[-3:] == (Exception, BaseException, object) for each in defined().values())
    assert all(sum(not issubclass(base, ChandleryError) for base in each.__mro__) == 3 for each in defined().values())


def test_errors_carry_what_is_needed_to_go_on():
    """The pause, the exchange's code, the part that was got."""
    gap = Gap(0, 1, GapKind.FETCH_FAILED)
    rejected = RequestRejected("no", status=400, code=-1121)
    incomplete = IncompleteData("x", data="part", missing=[gap])

    assert 3.5 == RateLimited("slow down", retry_after_s=3.5).retry_after_s
    assert (400, -1121) == (rejected.status, rejected.code)
    assert ("part", (gap,)) == (incomplete.data, incomplete.missing)


@pytest.mark.parametrize(
    "error",
    [RateLimited("slow down", retry_after_s=3.5), RequestRejected("no", status=400, code=7), ChandleryError("x")],
)
def test_errors_cross_between_processes(error):
    """Pickled, as a pool of processes does, they keep their kind, text and fields."""
    again = pickle.loads(pickle.dumps(error))

    assert (type(error), str(error), vars(error)) == (type(again), str(again), vars(again))


def test_incomplete_data_crosses_between_processes():
    """So does the one that carries data."""
    again = pickle.loads(pickle.dumps(IncompleteData("x", data=[1], missing=[Gap(0, 1, GapKind.HALT)])))

    assert ([1], (Gap(0, 1, GapKind.HALT),)) == (again.data, again.missing)
