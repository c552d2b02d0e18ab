"""The library needs little; what more a room needs is an extra's, and the sentence about a missing one names it."""

import ast
import sys

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from test_architecture import TREES, imported, room
from test_constraints import PROJECT

LIBRARY = {"face", "errors", "budget", "masks", "layers", "adapters", "analysis"}
#: Packages that come with another one that is asked for.
BROUGHT_BY = {"IPython": "ipykernel", "traitlets": "ipywidgets"}


def asked_for(*extras: str) -> set[str]:
    """The packages that pyproject.toml names, without extras or in these."""
    lines = [*PROJECT["dependencies"], *(line for extra in extras for line in PROJECT["optional-dependencies"][extra])]
    return {canonicalize_name(Requirement(line).name) for line in lines} - {PROJECT["name"]}


def used_by(rooms: set[str]) -> set[str]:
    """The packages of others that these rooms import, at once or later."""
    modules = {name for module, tree in TREES.items() if room(module) in rooms for name in imported(ast.walk(tree))}
    packages = {module.split(".")[0] for module in modules} - sys.stdlib_module_names - {"shira_lab"}
    return {canonicalize_name(BROUGHT_BY.get(package, package)) for package in packages}


def test_the_library_asks_for_what_its_rooms_import_and_for_nothing_else() -> None:
    assert used_by(LIBRARY) == asked_for() == {"numpy", "regex", "safetensors", "scipy", "torch"}


def test_models_and_training_are_served_by_train() -> None:
    assert used_by({"models", "training"}) - asked_for() == asked_for("train") - asked_for()


def test_course_and_command_line_are_served_by_course() -> None:
    used = used_by({"course", "cli"})
    assert used <= asked_for("train", "course")
    # JupyterLab opens the lessons; jsonschema is held back for the sake of plotly.
    assert asked_for("course") - asked_for() - used == {"jsonschema", "jupyterlab"}
