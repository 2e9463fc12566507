"""The names Graft promises: complete, sorted, each of them there."""

import ast
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version

import pytest

import graft
from tests.architecture.sources import Module, module, modules

PROMISED = {"GraftError", "ImageClassifier", "__version__", "load", "train"}


def wrong_lists(sources: Sequence[Module]) -> list[str]:
    """`__all__` lists that are unsorted, hold a name twice or name what the module does not define."""
    problems = []
    for source in sources:
        names = _listed(source.tree)
        if names != sorted(set(names)):
            problems.append(f"{source.name}: __all__ must be sorted and without repetition")
        missing = set(names) - _defined(source.tree)
        problems += [f"{source.name}: __all__ names {name}, which is not defined" for name in sorted(missing)]
    return problems


def _listed(tree: ast.Module) -> list[str]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return []


def _defined(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


def test_lists_are_sorted_and_true():
    assert wrong_lists(modules()) == []


def test_sabotage_lists_are_checked():
    assert wrong_lists([module("graft.a", "__all__ = ['b', 'a']\na = b = 1")])
    assert wrong_lists([module("graft.a", "__all__ = ['a', 'a']\na = 1")])
    assert wrong_lists([module("graft.a", "__all__ = ['a']\nb = 1")])
    assert wrong_lists([module("graft.a", "__all__ = ['a']\nfrom b import a")]) == []


def test_public_names_are_complete():
    assert set(graft.__all__) == PROMISED
    assert set(dir(graft)) >= PROMISED
    # what is visible without an underscore is promised, or a folder of the package that was imported
    folders = {each.folder for each in modules()}
    assert {name for name in vars(graft) if name[0] != "_"} <= PROMISED | folders | {
        "Any",
        "TYPE_CHECKING",
        "import_module",
    }


@pytest.mark.parametrize("name", sorted(PROMISED))
def test_each_public_name_is_there(name):
    assert getattr(graft, name) is getattr(graft, name)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = graft.trian


def test_the_version_is_that_of_the_distribution():
    try:
        installed = version("graft-vision")
    except ModuleNotFoundError:
        pytest.skip("Graft runs from its source folder, without being installed")
    assert installed == graft.__version__


def test_python_m_graft_equals_graft():
    ended = subprocess.run([sys.executable, "-m", "graft", "--version"], capture_output=True, text=True, check=True)
    assert ended.stdout == f"graft {graft.__version__}\n"
