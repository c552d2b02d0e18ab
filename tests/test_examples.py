"""Each public function of the mathematics has an example, each example runs, and many arguments are explained."""

import ast
import doctest
import importlib
import inspect

import pytest
from rooms import FILES, TREES, room

import shira_lab

ROOMS = ("budget", "masks", "analysis")
MODULES = ("shira_lab.adapters.config", "shira_lab.adapters.lora_config", "shira_lab.adapters.model")
PUBLIC = {
    f"{module}.{node.name}": node
    for module, tree in TREES.items()
    if room(module) in ROOMS or module in MODULES
    for node in tree.body
    if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
}
CLASSES = {
    f"{module}.{node.name}": node for module in MODULES for node in TREES[module].body if isinstance(node, ast.ClassDef)
}
WITH_EXAMPLES = [module for module, path in FILES.items() if ">>> " in path.read_text(encoding="utf-8")]
MANY = 4  # parameters, from which on each is explained

every_function = pytest.mark.parametrize("name", PUBLIC)


@every_function
def test_a_function_has_an_example(name: str) -> None:
    assert ">>> " in (ast.get_docstring(PUBLIC[name]) or "")


@pytest.mark.parametrize("name", CLASSES)
def test_a_config_and_the_adapted_model_have_an_example(name: str) -> None:
    assert ">>> " in (ast.get_docstring(CLASSES[name]) or "")


@every_function
def test_four_parameters_or_more_are_explained_one_by_one(name: str) -> None:
    taken, text = PUBLIC[name].args, ast.get_docstring(PUBLIC[name]) or ""
    names = [argument.arg for argument in (*taken.posonlyargs, *taken.args, *taken.kwonlyargs)]
    if len(names) >= MANY:
        explained = text.partition("Args:\n")[2].partition("Raises:\n")[0].replace(":", ",").split()
        assert not [argument for argument in names if f"{argument}," not in explained]


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_examples_give_what_they_show(module: str) -> None:
    found = importlib.import_module(module)
    shown = sum(">>> " in (test.docstring or "") for test in doctest.DocTestFinder().find(found))
    written = sum(
        ">>> " in (ast.get_docstring(node) or "")
        for node in ast.walk(TREES[module])
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
    )
    failed, _ = doctest.testmod(found)
    assert not failed and shown == written > 0


def test_each_function_of_the_face_has_an_example() -> None:
    functions = [value for name in shira_lab.__all__ if inspect.isfunction(value := getattr(shira_lab, name))]
    assert functions and not [value.__name__ for value in functions if ">>> " not in str(value.__doc__)]
