"""Mutation test: does a test fail when the source is wrong?

python scripts/mutants.py [FILE ...] [--share 1.0] [--seed 0] [--seconds 20] [--again]

Each mutant of config, masks, layers and storage (see :mod:`mutations`) meets the tests that run its lines, quickest
first. One for which no test fails has survived: a gap in the tests, a superfluous piece of source, or a mutant that
makes no difference. Those that are accepted stand in tests/mutants.md with the reason; any other survivor makes the
exit code 1.

mutmut, the usual tool, leaves out decorated functions; here most masks, all properties and whatever runs under
``no_grad`` are decorated. This one forks a process that has imported PyTorch and the tests' other libraries but nothing
of ours, and lets the import find the mutant. Needs ``fork`` (Linux, macOS).
"""

import argparse
import importlib
import json
import os
import random
import resource
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_loader
from pathlib import Path
from typing import Any

import coverage
import pytest
from mutations import Mutant, mutants

ROOT = Path(__file__).parent.parent
BUILD = ROOT / "build" / "mutants"
EXPLAINED = ROOT / "tests" / "mutants.md"

MUTATED = (
    "adapters/config.py", "masks", "layers", "adapters/storage", "adapters/targets.py", "analysis/overlap.py",
    "course/masks",
)  # fmt: skip
#: The tests of these modules that need no process of their own, no training and no large model.
TESTS = (
    "adapter_layer", "avoid", "bad_arguments", "choices", "compact", "config", "drawn_masks", "gradients",
    "gradients_around", "killed_saves", "layers", "mask_repairs", "masks", "mixed_batches", "model", "model_refusals",
    "overlap", "pattern", "peft_arguments", "peft_parity", "scale", "state_dicts", "storage", "targets", "task_heads",
    "tensor_files",
)  # fmt: skip
#: What these tests import beside shira_lab, imported once for all mutants.
LIBRARIES = (
    "accelerate", "hypothesis.stateful", "peft", "regex", "safetensors.torch", "scipy.ndimage",
    "scipy.sparse.csgraph", "scipy.stats", "transformers.models.gpt2.modeling_gpt2",
    "transformers.models.opt.modeling_opt",
)  # fmt: skip
PATIENCE = 60  # seconds of the processor's time, after which a mutant counts as hanging, which is as good as failing
LONG = 900  # seconds that anything may take

Needs = dict[str, dict[int, list[str]]]  # by file and line: the tests that run it; line 0: those that run any


class Plugin:
    """Runs the tests in ``order`` alone (all if None); notes how long each takes and, in ``cov``, what it runs."""

    def __init__(self, order: list[str] | None = None, cov: coverage.Coverage | None = None) -> None:
        self.order, self.cov, self.seconds = order, cov, defaultdict[str, float](float)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if self.order is not None:
            place = {name: i for i, name in enumerate(self.order)}
            items[:] = sorted((item for item in items if item.nodeid in place), key=lambda item: place[item.nodeid])

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        if self.cov:
            self.cov.switch_context(nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] += report.duration


class Finder:
    """Finds the mutant in its module's stead; stands in ``sys.meta_path``."""

    def __init__(self, mutant: Mutant) -> None:
        self.name = mutant.path.removesuffix(".py").replace("/", ".")
        self.loader = SourceFileLoader(self.name, str(ROOT / mutant.path))
        self.loader.get_code = lambda _: compile(mutant.source, self.loader.path, "exec")  # type: ignore[method-assign]

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return spec_from_loader(name, self.loader) if name == self.name else None


def apart(work: Callable[[], int], log: Path, seconds: int = LONG) -> int:
    """The exit code of ``work`` in a process of its own; a negative one when it takes too long."""
    pid = os.fork()
    if pid == 0:
        os.setpgid(0, 0)
        signal.alarm(LONG)
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(output, stream)
        code = 1
        try:
            code = work()
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)  # what the tests of a broken module may have left running
    return code


def run_tests(plugin: Plugin, files: list[str], *options: str) -> int:
    quiet = ("-q", "-p", "no:cacheprovider", "--timeout=0", "-p", "no:nbval", "-p", "no:anyio", "-m", "not browser")
    return int(pytest.main([*quiet, *options, *files], plugins=[plugin]))


def measure() -> int:
    """Write which tests run which lines, and how long each test takes."""
    cov = coverage.Coverage(data_file=None, config_file=False, include=[f"{ROOT}/shira_lab/*"])
    cov.start()
    plugin = Plugin(cov=cov)
    code = run_tests(plugin, [str(next((ROOT / "tests").rglob(f"test_{name}.py"))) for name in TESTS])
    cov.stop()
    needs: Needs = {}
    for file in cov.get_data().measured_files():
        lines = {line: set(names) - {""} for line, names in cov.get_data().contexts_by_lineno(file).items()}
        lines[0] = set().union(*lines.values())
        needs[str(Path(file).relative_to(ROOT))] = {line: sorted(names) for line, names in lines.items()}
    (BUILD / "measured.json").write_text(json.dumps([plugin.seconds, needs]))
    return code


def all_files() -> list[Path]:
    places = [ROOT / "shira_lab" / name for name in MUTATED]
    return [file for place in places for file in (sorted(place.glob("*.py")) if place.is_dir() else [place])]


def mutants_of(file: Path) -> Iterator[Mutant]:
    return mutants(file.resolve().relative_to(ROOT).as_posix(), file.read_text(encoding="utf-8"))


def chosen(mutant: Mutant, seconds: dict[str, float], needs: Needs, limit: float) -> list[str]:
    """The tests for this mutant, ``limit`` seconds of them: first those named after its module or folder, quickest
    first. A line that runs at import concerns all tests of its file, also those that only read a constant of it."""
    lines, path = needs.get(mutant.path, {}), Path(mutant.path)
    words = (path.stem, path.parent.name.rstrip("s"))
    names = {name for line in range(mutant.first, mutant.last + 1) for name in lines.get(str(line), ())}

    def foreign(name: str) -> bool:
        return not any(word in name.split("::")[0] for word in words)

    if not names:
        names = {*lines.get("0", ()), *(name for name in seconds if not foreign(name))}
    order, total = [], 0.0
    for name in sorted(names, key=lambda name: (foreign(name), seconds[name])):
        total += seconds[name]
        if order and total > limit:
            break
        order.append(name)
    return order


def survives(mutant: Mutant, order: list[str]) -> bool:
    def work() -> int:
        sys.meta_path.insert(0, Finder(mutant))
        return run_tests(Plugin(order), sorted({name.split("::")[0] for name in order}), "-x", "--tb=no")

    return not order or apart(work, BUILD / "last.log", PATIENCE) == pytest.ExitCode.OK


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", help="of shira_lab; all that are named above if none")
    parser.add_argument("--share", type=float, default=1.0, help="of the mutants, chosen at random")
    parser.add_argument("--seed", type=int, default=0, help="of that choice")
    parser.add_argument("--seconds", type=float, default=20.0, help="of tests for one mutant, the quickest")
    parser.add_argument("--again", action="store_true", help="only those that survived the last time")
    options = parser.parse_args()

    os.chdir(ROOT)
    BUILD.mkdir(parents=True, exist_ok=True)
    for name in LIBRARIES:
        importlib.import_module(name)
    if apart(measure, BUILD / "measured.log") != 0:
        print(f"The tests fail on the unchanged source; see {BUILD / 'measured.log'}.", file=sys.stderr)
        return 2
    seconds, needs = json.loads((BUILD / "measured.json").read_text())

    everything = [mutant for file in options.files or all_files() for mutant in mutants_of(Path(file))]
    if options.again:
        before = set(json.loads((BUILD / "survivors.json").read_text()))
        everything = [mutant for mutant in everything if str(mutant) in before]
    draw = random.Random(options.seed)
    everything = [mutant for mutant in everything if draw.random() < options.share]

    explained = {line.strip() for line in EXPLAINED.read_text(encoding="utf-8").splitlines()}
    made, lived, unexplained = Counter[str](), Counter[str](), 0
    survivors = []
    start = time.monotonic()
    for mutant in everything:
        made[mutant.path] += 1
        if survives(mutant, chosen(mutant, seconds, needs, options.seconds)):
            lived[mutant.path] += 1
            survivors.append(str(mutant))
            (BUILD / "survivors.json").write_text(json.dumps(survivors, indent=1))
            new = str(mutant) not in explained
            unexplained += new
            print(f"{mutant.first:4}  {'survived ' if new else 'explained'}  {mutant}", flush=True)

    print(f"\n{'':40}made  killed  survived")
    for path in [*made, "all"]:
        m, s = (made[path], lived[path]) if path != "all" else (made.total(), lived.total())
        print(f"{path:40}{m:4}{m - s:8}{s:10}{(m - s) / max(m, 1):8.1%}")
    print(f"{unexplained} survivors without an explanation; {time.monotonic() - start:.0f} s")
    return int(unexplained > 0)


if __name__ == "__main__":
    sys.exit(main())
