"""The library needs little; what more a room needs is an extra's, and the sentence about a missing one names it."""

import ast
import subprocess
import sys

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from test_architecture import TREES, imported, room
from test_constraints import PROJECT

from shira_lab.errors import MissingExtra, ShiraError, need_extra

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
    # Held back for the sake of plotly.
    assert asked_for("course") - asked_for() - used == {"jsonschema"}


@pytest.mark.parametrize(("name", "extra"), [("models", "train"), ("training", "train"), ("course", "course")])
def test_a_room_checks_at_its_import_for_what_it_takes_from_its_extra(name: str, extra: str) -> None:
    [call] = [node for node in ast.walk(TREES[f"shira_lab.{name}"]) if isinstance(node, ast.Call)]
    checked = [argument.value for argument in call.args if isinstance(argument, ast.Constant)]
    assert checked[0] == extra
    assert {canonicalize_name(package) for package in checked[1:]} == used_by({name}) - asked_for()


def without(packages: list[str], statement: str) -> str:
    """The last line that a fresh interpreter says where these packages are not installed."""
    hide = f"import sys; sys.modules.update(dict.fromkeys({packages}))"
    ran = subprocess.run([sys.executable, "-c", f"{hide}; {statement}"], capture_output=True, text=True)
    assert ran.returncode
    return ran.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("missing", "statement", "said"),
    [
        (["ipywidgets"], "import shira_lab.course.widgets",
         'course needs ipywidgets: pip install "shira-lab[course]".'),
        (["plotly", "anywidget"], "from shira_lab.course.figures import rank_figure",
         'course needs anywidget, plotly: pip install "shira-lab[course]".'),
        (["transformers"], "import shira_lab; shira_lab.load_model",
         'models needs transformers: pip install "shira-lab[train]".'),
        (["accelerate"], "from shira_lab.training.settings import Settings",
         'training needs accelerate: pip install "shira-lab[train]".'),
    ],
)  # fmt: skip
def test_a_room_whose_extra_is_missing_says_which(missing: list[str], statement: str, said: str) -> None:
    assert without(missing, statement) == f"shira_lab.errors.MissingExtra: shira_lab.{said}"


def test_the_command_says_it_in_one_line() -> None:
    command = "from shira_lab.cli import main; sys.exit(main(['tell']))"
    assert without(["transformers"], command) == (
        'shira-lab: shira_lab.training needs transformers: pip install "shira-lab[train]".'
    )


def test_whoever_catches_an_import_error_or_an_error_of_the_package_catches_it() -> None:
    with pytest.raises(ImportError, match=r"^here needs no_such_package: "):
        need_extra("here", "train", "no_such_package", "sys")
    assert issubclass(MissingExtra, ShiraError)
