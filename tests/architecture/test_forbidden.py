"""What source code must never hold: ways to run what a file says, writes past `core.files`, silent failures."""

import ast
from collections.abc import Iterator, Sequence

import pytest

from tests.architecture.sources import Module, module, modules

IMPORTS = {"pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "yaml"}
CALLS = {"eval", "exec", "compile", "__import__"}
METHODS = {
    **{"os.system": "runs a shell", "os.popen": "runs a shell", "os.execv": "replaces the process"},
    **{"yaml.load": "builds any object", "torch.load": "builds any object"},
}
ATTRIBUTES = {
    "extractall": "writes wherever an archive says",
    "load_model": "runs what a model file says",
    "model_from_json": "builds any class",
    "enable_unsafe_deserialization": "runs what a model file says",
}
WRITES = {"write_text", "write_bytes", "tofile", "savez", "savez_compressed"}
WRITERS = (
    "core.files",  # everything else writes through it
    "features.table",  # scratch memory of one process, no artefact
    "core.folders",  # copies that are renamed into their place as a whole
    "data.sample",  # a folder of copies that is renamed into its place as a whole
)
PRINTERS = ("cli", "bundle.assets.deployable.predict")  # this one goes into exported folders, a program of its own
LOADERS = ("bundle.export.answer_worker",)  # of the file that Graft itself wrote a moment before, in a child process


def forbidden(sources: Sequence[Module]) -> list[str]:
    """Everything in the sources that must not be there, one sentence each."""
    return [
        f"{source.name}:{getattr(node, 'lineno', 0)} {problem}"
        for source in sources
        for node in ast.walk(source.tree)
        for problem in _problems(source, node)
    ]


def _problems(source: Module, node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
        yield from (f"imports {name}" for name in names if name.split(".")[0] in IMPORTS)
    elif isinstance(node, ast.Call):
        yield from _call_problems(source, node)
    elif isinstance(node, ast.Attribute) and node.attr in ATTRIBUTES and source.short not in LOADERS:
        yield f"uses .{node.attr}, which {ATTRIBUTES[node.attr]}"
    elif isinstance(node, ast.Assert):
        yield "uses assert, which python -O removes: raise an error"
    elif isinstance(node, ast.Global):
        yield "uses global: module state must not change"
    elif isinstance(node, ast.ExceptHandler):
        yield from _handler_problems(source, node)


def _call_problems(source: Module, node: ast.Call) -> Iterator[str]:
    name = ast.unparse(node.func)
    last = name.rpartition(".")[2]
    keywords = {each.arg: each.value for each in node.keywords}
    if name in CALLS:
        yield f"calls {name}()"
    if name in METHODS:
        yield f"calls {name}(), which {METHODS[name]}"
    if name in ("np.load", "numpy.load") and not _is(keywords.get("allow_pickle"), False):
        yield f"calls {name}() without allow_pickle=False"
    if "shell" in keywords and not _is(keywords["shell"], False):
        yield "passes shell="
    if name == "print" and not {source.folder, source.short} & set(PRINTERS):
        yield "prints: only the command line speaks"
    if source.short not in WRITERS and (last in WRITES or _opens_for_writing(node, name, last, keywords)):
        yield f"writes with {last}(): artefacts are written by core.files"


def _opens_for_writing(node: ast.Call, name: str, last: str, keywords: dict[str | None, ast.expr]) -> bool:
    if last != "open":
        return False
    place = 1 if name == "open" else 0  # open(path, mode) against path.open(mode)
    mode = keywords.get("mode", node.args[place] if len(node.args) > place else None)
    text = mode.value if isinstance(mode, ast.Constant) and isinstance(mode.value, str) else ""
    return len(text) <= 3 and any(letter in text for letter in "wax+")


def _handler_problems(source: Module, node: ast.ExceptHandler) -> Iterator[str]:
    if node.type is None:
        yield "catches everything without naming it"
    line = source.text.splitlines()[node.body[0].lineno - 1]
    if isinstance(node.body[0], ast.Pass) and "#" not in line:
        yield "catches an error and does nothing, without a comment that says why"


def _is(node: ast.expr | None, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def test_nothing_forbidden_is_in_the_source():
    assert forbidden(modules()) == []


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from marshal import loads",
        "def f():\n    import joblib",
        "eval('1')",
        "exec(text)",
        "yaml.load(text)",
        "torch.load(path)",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=flag)",
        "archive.extractall(folder)",
        "subprocess.run(line, shell=True)",
        "subprocess.run(line, shell=flag)",
        "os.system(line)",
        "keras.saving.load_model(path)",
        "path.write_text('x')",
        "path.write_bytes(b'x')",
        "open(path, 'w')",
        "open(path, mode='ab')",
        "path.open('r+b')",
        "assert x",
        "def f():\n    global x",
        "print('x')",
        "try:\n    f()\nexcept OSError:\n    pass",
        "try:\n    f()\nexcept:\n    g()",
    ],
)
def test_sabotage_forbidden_things_are_noticed(text):
    assert len(forbidden([module("graft.data.a", text)])) == 1


@pytest.mark.parametrize(
    "text",
    [
        "np.load(path, allow_pickle=False)",
        "subprocess.run(words, shell=False)",
        "re.compile('x')",
        "open(path, 'rb')",
        "path.open()",
        "path.open('rb')",
        "Image.open(handle, formats=formats)",
        "try:\n    f()\nexcept OSError:\n    g()",
        "try:\n    f()\nexcept OSError:\n    pass  # the file was gone already",
    ],
)
def test_what_is_allowed_is_left_alone(text):
    assert forbidden([module("graft.data.a", text)]) == []
