"""What a stranger looks for before trusting a package: one version everywhere, the same checks for all, how to cite."""

import re
from pathlib import Path

import pytest
import yaml
from test_constraints import PROJECT, ROOT

import shira_lab

WORKFLOWS = {
    path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in (ROOT / ".github/workflows").glob("*.yml")
}
WORKFLOW = WORKFLOWS["ci"]
CHANGES = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
REFERENCES = (ROOT / "paper/paper.bib").read_text(encoding="utf-8")
ENTRY = re.compile(r"^@\w+\{(\w+),\n(.*?)^\}$", re.MULTILINE | re.DOTALL)
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


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_a_workflow_calls_what_contributors_call(workflow: str) -> None:
    steps = [step["run"] for job in WORKFLOWS[workflow]["jobs"].values() for step in job["steps"] if "run" in step]
    made = [name for step in steps if step.startswith("make ") for name in step.split()[1:] if "=" not in name]
    targets = re.findall(r"^(\w+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert made and set(made) <= set(targets)


def test_a_release_holds_no_secret_and_one_job_alone_may_speak_for_the_project() -> None:
    text = (ROOT / ".github/workflows/release.yml").read_text(encoding="utf-8")
    trusted = [name for name, job in WORKFLOWS["release"]["jobs"].items() if "id-token" in job.get("permissions", {})]
    assert "secrets." not in text and trusted == ["publish"]
    assert WORKFLOWS["release"]["permissions"] == {"contents": "read"}


def test_the_paper_cites_what_its_list_has_and_each_entry_can_be_found() -> None:
    paper, entries = (ROOT / "paper/paper.md").read_text(encoding="utf-8"), dict(ENTRY.findall(REFERENCES))
    assert set(re.findall(r"@(\w+)", paper.partition("# Summary")[2])) == entries.keys()
    assert all(re.search(r"^  (doi|url) = ", entry, re.MULTILINE) for entry in entries.values())


def test_a_commit_is_checked_by_the_command_that_checks_style_elsewhere() -> None:
    [repository] = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert [hook["entry"] for hook in repository["hooks"]] == ["make lint"]


@pytest.mark.parametrize("form", sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml")), ids=lambda path: path.stem)
def test_an_issue_form_says_what_it_asks_for(form: Path) -> None:
    content = yaml.safe_load(form.read_text(encoding="utf-8"))
    if form.stem != "config":
        assert content["name"] and content["description"]
        assert all(field["attributes"]["label"] for field in content["body"])
