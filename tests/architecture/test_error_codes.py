"""Error codes: each one that is raised is known, each one that is known is raised somewhere."""

import ast
from collections.abc import Iterator, Mapping, Sequence

from graft.core.errors import CODES
from tests.architecture.sources import Module, module, modules, strings

HOME = "graft.core.errors"


def unknown_codes(sources: Sequence[Module], codes: Mapping[str, str]) -> list[str]:
    """Codes given as `code=`, `default_code =` or a default of a parameter named `code` that the table lacks."""
    return [
        f"{source.name}:{node.lineno} {node.value!r} is no error code"
        for source in sources
        for node in _given(source.tree)
        if node.value and node.value not in codes
    ]


def _given(tree: ast.AST) -> Iterator[ast.Constant]:
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "code":
            yield from strings(node.value)
        elif isinstance(node, ast.Assign | ast.AnnAssign) and "default_code" in ast.unparse(node).split("=")[0]:
            yield from strings(node.value or ast.Module([], []))
        elif isinstance(node, ast.arguments):
            named = [*node.posonlyargs, *node.args]
            pairs = [*zip(named[len(named) - len(node.defaults) :], node.defaults, strict=True)]
            pairs += [*zip(node.kwonlyargs, node.kw_defaults, strict=True)]
            for argument, default in pairs:
                if argument.arg == "code" and default is not None:
                    yield from strings(default)


def unused_codes(sources: Sequence[Module], codes: Mapping[str, str]) -> list[str]:
    """Codes of the table that no source names."""
    named: set[str] = set()
    for source in sources:
        tree = source.tree
        if source.name == HOME:  # the table itself does not count, the classes' own codes do
            tree = ast.Module([node for node in tree.body if isinstance(node, ast.ClassDef)], [])
        named |= {str(node.value) for node in strings(tree)}
    return sorted(set(codes) - named)


def test_each_code_that_is_raised_is_known():
    assert unknown_codes(modules(), CODES) == []


def test_each_known_code_is_raised_somewhere():
    assert unused_codes(modules(), CODES) == []


def test_each_code_is_described():
    assert all(text and text[-1] != "." for text in CODES.values())


def test_sabotage_unknown_codes_are_noticed():
    for text in (
        "raise BadInput('x', code='made_up')",
        "raise BadInput('x', code='made_up' if x else 'corrupt')",
        "class A(BadInput):\n    default_code = 'made_up'",
        "def refuse(text, code='made_up'): ...",
        "def refuse(text, *, code='made_up'): ...",
    ):
        assert len(unknown_codes([module("graft.data.a", text)], CODES)) == 1, text


def test_sabotage_unused_codes_are_noticed():
    found = unused_codes(modules(), {**CODES, "never_raised": "nobody"})
    assert set(found) - set(unused_codes(modules(), CODES)) == {"never_raised"}
