"""Public names come from the stub of their package."""

from __future__ import annotations

import subprocess
import sys

import pytest

from chandlery.core.lazy import homes


def test_homes():
    """Each line that imports a name counts, and no other."""
    stub = "from acme.a import One as One\nfrom acme.a import Two as Two\n\n__version__: str\n"

    assert {"One": "acme.a", "Two": "acme.a"} == homes(stub)


@pytest.fixture
def package(tmp_path):
    """A package with a name that is loaded at its first use, and a module that says when it is loaded."""
    folder = tmp_path / "acme"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "from chandlery.core.lazy import exported\n__all__, __getattr__, __dir__ = exported(__name__, __file__)\n"
    )
    (folder / "__init__.pyi").write_text("from acme.a import One as One\n")
    (folder / "a.py").write_text("print('loaded')\nOne = 1\n")
    return tmp_path


def test_names_are_loaded_at_their_first_use(package):
    """Importing the package loads none of its modules; using a name loads its module, once."""
    code = (
        "import acme; print('One' in dir(acme), acme.__all__); print(acme.One, acme.One)\n"
        "try:\n    acme.Two\nexcept AttributeError as error:\n    print(error)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=package, check=True, capture_output=True, text=True, timeout=60
    )

    said = ["True ['One']", "loaded", "1 1", "module 'acme' has no attribute 'Two'"]
    assert said == ended.stdout.splitlines()


def test_a_name_of_the_service_names_its_extra():
    """Without a library of the extra; a missing module of the package itself is reported as it is."""
    code = (
        "import sys; missing = sys.argv[1]; sys.modules[missing] = None\n"
        "try:\n    from chandlery.service import Service\n"
        "except Exception as error:\n    print(type(error).__name__, error)"
    )

    def said(missing):
        command = [sys.executable, "-c", code, missing]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout

    needed = "MissingDependency chandlery.service.Service needs an extra; run: pip install 'chandlery[server]'\n"
    assert needed == said("fastapi")
    assert said("chandlery.service.app").startswith("ModuleNotFoundError")
