"""What a stranger looks for before trusting a package: one version everywhere, the same checks for all, how to cite."""

import re
from pathlib import Path

import pytest
import yaml
from test_constraints import PROJECT, ROOT

import shira_lab

WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
CHANGES = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))


def test_package_changelog_and_citation_are_of_one_release() -> None:
    releases = re.findall(r"^## \[([\d.]+)\] - (\d{4}-\d{2}-\d{2})$", CHANGES, re.MULTILINE)
    assert releases[0] == (shira_lab.__version__, CITATION["date-released"]) and releases[-1][0] == "0.1.0"
    assert str(CITATION["version"]) == shira_lab.__version__ and CITATION["license"] == PROJECT["license"]


def test_every_python_that_is_named_is_tested_on_every_system() -> None:
    named = [line.rpartition(" ")[2] for line in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", line)]
    jobs = [job["strategy"]["matrix"] for job in WORKFLOW["jobs"].values() if "strategy" in job]
    assert all(matrix["python"] == named for matrix in jobs)
    systems = {name for job in WORKFLOW["jobs"].values() for name in [job["runs-on"]] if "$" not in name}
    systems |= {name for matrix in jobs for name in matrix.get("os", [])}
    assert systems == {"ubuntu-latest", "macos-latest", "windows-latest"}
    assert ">=" + named[0] == PROJECT["requires-python"]


def test_the_workflow_calls_what_contributors_call() -> None:
    steps = [step["run"] for job in WORKFLOW["jobs"].values() for step in job["steps"] if "run" in step]
    made = [name for step in steps if step.startswith("make ") for name in step.split()[1:] if "=" not in name]
    targets = re.findall(r"^(\w+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert made and set(made) <= set(targets)


def test_a_commit_is_checked_by_the_command_that_checks_style_elsewhere() -> None:
    [repository] = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert [hook["entry"] for hook in repository["hooks"]] == ["make lint"]


@pytest.mark.parametrize("form", sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml")), ids=lambda path: path.stem)
def test_an_issue_form_says_what_it_asks_for(form: Path) -> None:
    content = yaml.safe_load(form.read_text(encoding="utf-8"))
    if form.stem != "config":
        assert content["name"] and content["description"]
        assert all(field["attributes"]["label"] for field in content["body"])
