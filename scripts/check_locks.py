"""Proves that the locks name no host or address, hash every requirement, and hold all that pyproject.toml asks for."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).resolve().parent.parent
_ADDRESS = re.compile(r"://|\bhttps?\b|^\s*--(?!hash=)|\bfile:|(?:^|\s)[./~]\S*/|\s@\s|\bgit\+", re.MULTILINE)
_PINNED = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*)==(?P<version>[^\s;]+)(?: ; (?P<marker>.+))?")
_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def problems_of(lock: str) -> Iterator[str]:
    """What is wrong with the text of one lock; nothing where it is right."""
    for number, line in enumerate(lock.splitlines(), 1):
        if found := _ADDRESS.search(line):
            yield f"line {number}: {found[0].strip()!r} looks like an address or an option: {line.strip()!r}"
    for entry in lock.replace("\\\n", " ").splitlines():
        requirement, *hashes = re.split(r"\s+(?=--hash=)", entry.strip())
        if not requirement or requirement.startswith(("#", "--")):
            continue
        if not _PINNED.fullmatch(requirement):
            yield f"{requirement!r} is not name==version"
        if not hashes or not all(_HASH.fullmatch(each) for each in hashes):
            yield f"{requirement!r} has no sha256 hash, or something that is none"


def unmet_by(lock: str, requirements: list[str]) -> Iterator[str]:
    """Which of ``requirements`` the lock has no version for, or only one that does not satisfy it."""
    pins = [found for line in lock.splitlines() if (found := _PINNED.match(line))]
    for text in requirements:
        wanted = Requirement(text)
        versions = [pin["version"] for pin in pins if canonicalize_name(pin["name"]) == canonicalize_name(wanted.name)]
        if not any(wanted.specifier.contains(version, prereleases=True) for version in versions):
            yield f"{text!r} is not met; the lock has {versions or 'no version of it'}"


def differences(runtime: str, dev: str) -> Iterator[str]:
    """Which versions of the runtime lock the development lock does not have, so that they would go untested."""
    tested = set(dev.splitlines())
    for line in runtime.splitlines():
        if _PINNED.match(line) and line not in tested:
            yield f"{line.split()[0]} is another one in requirements/dev.txt"


def main(project: Path = PROJECT) -> int:
    """Print every problem; the number of problems, at most 1, is the exit code."""
    data = tomllib.loads((project / "pyproject.toml").read_text())
    runtime = data["project"]["dependencies"]
    asked = {
        "runtime.txt": runtime,
        "dev.txt": [*runtime, *data["dependency-groups"]["dev"], *data["build-system"]["requires"]],
        "bench.txt": data["dependency-groups"]["bench"],
        "uv.txt": ["uv"],
    }
    locks = {name: (project / "requirements" / name).read_text() for name in asked}
    problems = [
        f"requirements/{name}: {each}"
        for name, lock in locks.items()
        for each in [*problems_of(lock), *unmet_by(lock, asked[name])]
    ]
    problems += differences(locks["runtime.txt"], locks["dev.txt"])
    print("\n".join(problems) or f"{len(asked)} locks are whole and name no host")
    return min(len(problems), 1)


if __name__ == "__main__":
    sys.exit(main())
