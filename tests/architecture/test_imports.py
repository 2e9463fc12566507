"""Who may import whom: one direction between folders, no circles, heavy libraries only where and how they belong."""

import ast
import graphlib
import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.architecture.sources import ROOT, Module, module, modules

# A folder imports only folders named before it.
ORDER = (
    *("core", "data", "backbones", "features", "evaluation", "training", "bundle"),
    *("explain", "report", "pipeline", "serving", "studio", "cli"),
)
# Folders that may import less than what stands above them.
NARROWER = {"serving": ("core", "bundle", "data.images"), "studio": ("core", "pipeline")}
FREE = ("", "__main__")  # the package itself and `python -m graft`


@dataclass(frozen=True)
class Rule:
    """Where a library may be imported: inside functions, or also when the module is loaded."""

    inside: tuple[str, ...] = ()
    at_load: tuple[str, ...] = ()


EVERYWHERE = ORDER[:-1]  # the command line starts without any library
DEPLOYED = "bundle.assets.deployable"  # programs of their own, which go into exported folders
LIBRARIES = {
    "PIL": Rule(at_load=("data.images", "data.augmentation.transforms", "data.augmentation.sheet", DEPLOYED)),
    "ai_edge_litert": Rule(inside=("bundle.export",)),
    "annotated_types": Rule(at_load=EVERYWHERE),
    "fastapi": Rule(at_load=("serving",)),
    "h11": Rule(at_load=("serving.protocol",)),
    "h5py": Rule(inside=("backbones",)),
    "jax": Rule(inside=("training.tuning",)),
    "jinja2": Rule(inside=("report",)),
    "keras": Rule(inside=("backbones", "bundle.export", "features", "training")),
    "markupsafe": Rule(at_load=("report",)),  # Jinja's own string of finished HTML; loads nothing else
    "ml_dtypes": Rule(inside=("core", "features")),
    "numpy": Rule(at_load=EVERYWHERE),
    "onnx": Rule(inside=("bundle.export",)),
    "onnxruntime": Rule(inside=("bundle.export",), at_load=(DEPLOYED,)),
    "openvino": Rule(inside=("core.telemetry", "features", "bundle")),
    "platformdirs": Rule(inside=("core.machine",), at_load=("core.machine",)),
    "prepare": Rule(at_load=(f"{DEPLOYED}.predict",)),  # lies beside it there
    "prometheus_client": Rule(at_load=("serving.metrics",)),
    "pyarrow": Rule(inside=("pipeline.feature_files",)),
    "pydantic": Rule(at_load=("core.records",)),
    "python_multipart": Rule(at_load=("serving.multipart",)),
    "rich": Rule(inside=("core.progress", "cli")),
    "scipy": Rule(inside=("evaluation", "training")),
    "sklearn": Rule(inside=("evaluation", "training", "data.sample"), at_load=("training.head", "pipeline.estimator")),
    "tensorboard": Rule(inside=("report.tensorboard",)),
    "tensorflow": Rule(inside=("bundle.export", "training")),
    "threadpoolctl": Rule(inside=("data.duplicates.search", "training")),
    "torch": Rule(inside=("training.tuning",)),  # computes there; its files are pickles, and none is ever read
    "uvicorn": Rule(at_load=("serving",)),
}


@dataclass(frozen=True)
class Import:
    """One import: the module or name it asks for, and how."""

    target: str
    line: int
    in_function: bool
    for_types: bool
    in_text: bool  # a name in a string: a lazy table, or a module that a child process runs


def imports(source: Module) -> Iterator[Import]:
    """Every import of a module: statements at any depth, and module names in strings (lazy tables, child processes)."""
    known = {each.name for each in modules()}
    for node, in_function, for_types in _walk(source.tree, in_function=False, for_types=False):
        for target in _targets(source, node, known):
            yield Import(target, node.lineno, in_function, for_types, isinstance(node, ast.Constant))


def _walk(node: ast.AST, *, in_function: bool, for_types: bool) -> Iterator[tuple[ast.AST, bool, bool]]:
    for child in ast.iter_child_nodes(node):
        yield child, in_function, for_types
        inside = in_function or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        types = for_types or (isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"))
        yield from _walk(child, in_function=inside, for_types=types)


def _targets(source: Module, node: ast.AST, known: set[str]) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = _base(source, node)
        return [f"{base}.{alias.name}" if base.split(".")[0] == "graft" else base for alias in node.names]
    if isinstance(node, ast.Constant) and node.value in known - {"graft", source.name}:
        return [node.value]
    return []


def _base(source: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parts = source.name.split(".")
    kept = parts[: len(parts) - node.level + (1 if source.is_package else 0)]
    return ".".join([*kept, node.module] if node.module else kept)


def wrong_directions(sources: Sequence[Module]) -> list[str]:
    """Imports between folders that go against the table."""
    return [
        f"{source.name}:{each.line} must not import {each.target}"
        for source in sources
        for each in imports(source)
        if each.target.split(".")[0] == "graft" and not _allowed(source, each.target)
    ]


def _allowed(source: Module, target: str) -> bool:
    wanted = target.removeprefix("graft").removeprefix(".")
    folder = wanted.split(".")[0]
    if source.folder in FREE or folder == source.folder:
        return True
    if source.folder not in ORDER or folder not in ORDER:
        return False
    if source.folder in NARROWER:
        return any(f"{wanted}.".startswith(f"{allowed}.") for allowed in NARROWER[source.folder])
    return ORDER.index(folder) < ORDER.index(source.folder)


def circles(sources: Sequence[Module]) -> list[str]:
    """A circle of modules that need each other to be loaded. A factory may import what it makes inside its function."""
    known = {each.name for each in sources}
    graph = {source.name: set(_dependencies(source, known)) for source in sources}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return [" -> ".join(error.args[1])]
    return []


def _dependencies(source: Module, known: set[str]) -> Iterator[str]:
    for each in imports(source):
        target = each.target if each.target in known else each.target.rpartition(".")[0]
        if (
            target in known
            and not (each.for_types or each.in_text or each.in_function)
            and target not in (source.name, "graft")
        ):
            yield target


def misplaced_libraries(sources: Sequence[Module], standard: frozenset[str]) -> list[str]:
    """Libraries imported where they do not belong, or when a module is loaded though only functions may."""
    problems = []
    for source in sources:
        for each in imports(source):
            library = each.target.split(".")[0]
            if library in standard or library == "graft" or each.for_types:
                continue
            rule = LIBRARIES.get(library, Rule())
            places = rule.at_load + (rule.inside if each.in_function else ())
            if not any(f"{source.short}.".startswith(f"{place}.") for place in places):
                how = "inside a function" if each.in_function else "when it is loaded"
                problems.append(f"{source.name}:{each.line} must not import {library} {how}")
    return problems


STANDARD = frozenset(sys.stdlib_module_names)


def test_folders_import_in_one_direction():
    assert wrong_directions(modules()) == []


def test_no_modules_import_each_other_in_a_circle():
    assert circles(modules()) == []


def test_libraries_are_imported_where_they_belong():
    assert misplaced_libraries(modules(), STANDARD) == []


def test_libraries_in_the_table_are_declared():
    """Nothing is imported that only comes along with something else."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    texts = [*project["dependencies"], *(text for name in extras if name != "dev" for text in extras[name])]
    declared = {re.split(r"[^\w-]", text)[0].replace("-", "_") for text in texts}
    named = {"PIL": "pillow", "sklearn": "scikit_learn"}
    own = {"prepare"}  # a file beside the program that imports it
    assert {named.get(library, library) for library in LIBRARIES} - own <= declared


def test_every_folder_stands_in_the_table():
    assert {each.folder for each in modules()} - set(FREE) <= set(ORDER)


def test_sabotage_directions_are_noticed():
    bad = [
        module("graft.core.a", "from graft.data.records import Photo"),
        module("graft.data.a", "def f():\n    import graft.training.probe"),
        module("graft.data.b", "from ..features import engines"),
        module("graft.evaluation.a", "from importlib import import_module\nimport_module('graft.training.records')"),
        module("graft.report.a", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import graft.pipeline.run"),
        module("graft.serving.a", "from graft.data.scan import scan"),
        module("graft.serving.b", "from graft.training import probe"),
        module("graft.extra.a", "import graft.core.files"),
        module("graft.bundle.a", "from graft import train"),
        module("graft.pipeline.a", "from graft import __version__"),
    ]
    for source in bad:
        assert len(wrong_directions([source])) == 1, source.name
    good = [
        module("graft.data.a", "from graft.core.files import write_atomic\nfrom .records import Photo"),
        module("graft.serving.a", "from graft.data.images import decode\nfrom graft.bundle.bundle import Bundle"),
        module("graft.pipeline.a", "from graft.core.version import __version__"),
        module("graft", "from graft.pipeline.api import train", is_package=True),
    ]
    assert wrong_directions(good) == []


def test_sabotage_circles_are_noticed():
    first = module("graft.data.a", "from graft.data.b import g")
    assert circles([first, module("graft.data.b", "from graft.data import a")])
    assert circles(
        [first, module("graft.data.b", "from graft.data.c import h"), module("graft.data.c", "from .a import f")]
    )
    typed = module("graft.data.b", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from graft.data import a")
    assert circles([first, typed]) == []
    assert circles([first, module("graft.data.b", "def g():\n    from graft.data import a")]) == []


def test_sabotage_libraries_are_noticed():
    bad = [
        module("graft.data.scan", "from PIL import Image"),
        module("graft.backbones.networks", "import keras"),
        module("graft.report.page", "def f():\n    import keras"),
        module("graft.bundle.bundle", "def f():\n    import tensorflow as tf"),
        module("graft.core.files", "import requests"),
        module("graft.cli.predict", "import numpy as np"),
    ]
    for source in bad:
        assert len(misplaced_libraries([source], STANDARD)) == 1, source.text
    good = module("graft.backbones.networks", "import json\nimport numpy as np\ndef f():\n    import keras.layers")
    assert misplaced_libraries([good], STANDARD) == []


def test_names_in_strings_count_as_imports():
    known = next(each.name for each in modules() if each.folder == "training")
    assert any(known == each.target for each in imports(module("graft.data.a", f"CHILD = {known!r}")))
