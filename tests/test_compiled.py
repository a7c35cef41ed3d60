"""What the list of compiled modules in pyproject.toml says is what there is."""

import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.conftest import IS_COMPILED

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


def modules() -> list[str]:
    """Every module that the list names."""
    settings = tomllib.loads(PYPROJECT.read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["mypyc"]
    named = []
    for pattern in settings["include"]:
        found = sorted(PYPROJECT.parent.glob(pattern.removeprefix("/")))
        assert found, f"{pattern} names nothing"
        named += [path for path in found if f"/{path.relative_to(PYPROJECT.parent)}" not in settings["exclude"]]
    names = [path.relative_to(PYPROJECT.parent).with_suffix("") for path in named]
    return [".".join(name.parts).removesuffix(".__init__") for name in names]


def test_the_list_names_modules() -> None:
    assert "dualmode.http.native.server" in modules()
    assert "dualmode.raft.errors" not in modules()


@pytest.mark.skipif(not IS_COMPILED, reason="these are the plain modules: `make test-compiled` has the others")
def test_what_is_listed_is_compiled() -> None:
    for name in modules():
        spec = find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        assert spec.origin.endswith(".so"), name
