"""The wheel alone is enough: in an empty environment, far from the checkout, with what it asks for and nothing else."""

import os
import subprocess
import sys
import venv
import zipfile
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from test_readme import EXAMPLE, README

from shira_lab.course.expected import NOT_SO
from shira_lab.course.lessons import FIRST, lessons

ROOT = Path(__file__).parent.parent
#: Bytes that a kernel may hold: a pod of Binder has 2 GB, and the server and a browser's connections need some.
POD = 1.5e9
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    [built] = folder.glob("*.whl")
    return built


def asked_for(wheel: Distribution, extra: str) -> set[str]:
    """The packages that a distribution needs here with an extra, and those that these need in turn."""
    found: set[tuple[str, str]] = set()
    waiting = {(wheel.name, extra), (wheel.name, "")}
    while waiting:
        name, extra = one = waiting.pop()
        found.add(one)
        for line in (wheel if name == wheel.name else distribution(name)).requires or []:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                waiting |= {(canonicalize_name(requirement.name), inner) for inner in ("", *requirement.extras)} - found
    return {name for name, _ in found} - {wheel.name}


class Environment:
    """A virtual environment with the wheel, and links to the packages of this environment that it asks for."""

    def __init__(self, folder: Path, wheel: Path, extra: str) -> None:
        venv.create(folder / "venv", symlinks=os.name != "nt")
        self.folder = folder
        self.programs = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
        install = [sys.executable, "-m", "pip", "--python", str(self.programs / "python"), "install", "--quiet"]
        subprocess.run([*install, "--no-deps", "--no-index", str(wheel)], check=True)
        self.packages = Path(self.run("python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
        [facts] = self.packages.glob("shira_lab-*.dist-info")
        for name in asked_for(Distribution.at(facts), extra):
            self._link(distribution(name))

    def _link(self, package: Distribution) -> None:
        """Link each file and folder at the top of a package, for example torch/ and torch-2.13.0.dist-info/."""
        for top in {file.parts[0] for file in package.files or []} - {"..", "__pycache__"}:
            if not (self.packages / top).exists():
                (self.packages / top).symlink_to(str(package.locate_file(top)))

    def run(self, program: str, *arguments: str) -> str:
        """What a program of the environment prints, in a folder of its own and with no word from this process."""
        home = {name: str(self.folder) for name in ("HOME", "IPYTHONDIR", "JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR")}
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "JUPYTER"))}
        ran = subprocess.run(
            [str(self.programs / program), *arguments], cwd=self.folder, env=kept | home, capture_output=True, text=True
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout


@pytest.fixture(scope="module")
def base(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return Environment(tmp_path_factory.mktemp("base"), wheel, "")


@pytest.fixture(scope="module")
def course(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return Environment(tmp_path_factory.mktemp("course"), wheel, "course")


def test_the_wheel_holds_the_package_and_its_lessons_alone(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"shira_lab"}
    assert {"shira_lab/py.typed", *(f"shira_lab/course/notebooks/{lesson.name}" for lesson in lessons())} <= set(names)
    assert not [name for name in names if "__pycache__" in name or ".ipynb_checkpoints" in name]


def test_the_example_of_the_readme_runs_with_the_base_dependencies(base: Environment) -> None:
    [(code, expected)] = EXAMPLE.findall(README)
    assert base.run("python", "-c", code) == expected
    look = "from importlib.util import find_spec as f; print(f('transformers'), f('ipywidgets'), f('tqdm'))"
    assert base.run("python", "-c", look) == "None None None\n"


METHOD = """
import copy, pathlib, torch
from shira_lab import PeftModel, minimal

base, x = torch.nn.Sequential(torch.nn.Linear(8, 6)), torch.ones(2, 8)
model, config = copy.deepcopy(base), minimal.ShiraConfig(r=2, target_modules=["0"])
minimal.inject_adapter_in_model(config, model)
trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
optimizer = torch.optim.AdamW(trained, lr=0.1)
model(x).square().sum().backward()
optimizer.step()
minimal.save_pretrained(model, config, pathlib.Path("adapter"))
loaded = PeftModel.from_pretrained(base, "adapter")
print(sum(p.numel() for p in trained), torch.allclose(loaded(x), model(x)), torch.allclose(base(x), model(x)))
"""


def test_the_method_on_one_page_trains_and_its_file_loads(base: Environment) -> None:
    assert base.run("python", "-c", METHOD) == "28 True True\n"


#: Runs the lesson as "Restart Kernel and Run All" does, with Stop pressed at once, and prints where its package lies
#: and, on Linux, the most memory that its kernel held, in KiB.
RUN_ALL = """
import re, sys, nbformat
from nbclient import NotebookClient
from traitlets.config import Config

notebook = nbformat.read(sys.argv[1], as_version=4)
for cell in notebook.cells:
    cell.source = re.sub(r"^lab\\.run\\(\\)$", "lab.run()\\nlab.stop()", cell.source, flags=re.MULTILINE)
where = "import shira_lab; print(shira_lab.__file__)"
most = "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
notebook.cells.append(nbformat.v4.new_code_cell(f"{where}\\n{most if sys.platform == 'linux' else 'print(0)'}"))
encrypted = Config(KernelManager={"transport_encryption": "auto"})
here = {"metadata": {"path": "my lessons"}}
NotebookClient(notebook, config=encrypted, kernel_name="python3", resources=here).execute()
print("".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", [])))
"""


def test_lesson_one_runs_in_a_folder_of_a_learner_and_goes_on_after_a_stop(course: Environment) -> None:
    course.run("shira-lab", "lab", "my lessons", "--only-copy")
    said, found, most = course.run("python", "-c", RUN_ALL, f"my lessons/{FIRST}").strip().rsplit("\n", 2)
    assert Path(found) == course.packages / "shira_lab" / "__init__.py"
    assert int(most) * 1024 < POD
    assert NOT_SO in said
