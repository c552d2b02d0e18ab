"""Files from strangers: whatever they hold, they load and are valid or are refused in words, and nothing else happens.

A few thousand here; for a million, `python scripts/fuzz_adapters.py`.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from fuzz_adapters import fuzz
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tiny import MLP, adapted
from torch import nn

from shira_lab import LoraConfig, PeftModel, ShiraConfig, get_peft_model
from shira_lab.adapters.patterns import matches
from shira_lab.errors import ConfigError, StorageError

SHIRA = ShiraConfig(r=2, target_modules=["lin0", "lin1"], random_seed=0)
LORA = LoraConfig(r=2, target_modules=["lin0", "lin1"])
ROOT = Path(__file__).parents[2]


@pytest.mark.filterwarnings("ignore")
def test_three_thousand_damaged_adapters_load_or_are_refused_and_leave_no_trace() -> None:
    report = fuzz(range(3000))
    assert report.findings == []
    assert all(report.outcomes[outcome] > 200 for outcome in ("loaded", "ConfigError", "StorageError"))


# ---- what a million of them has taught ------------------------------------------------------------------------------

FORGED: dict[str, dict[str, object]] = {
    "`scale` should be a finite number; got 1000": {"scale": 10**400},
    "`lora_alpha` should be a number that is not negative": {"lora_alpha": 10**400},
    "`target_modules` is not a valid regular expression": {"target_modules": "a{99999999999}"},
    "`rank_pattern` is not a valid regular expression": {"rank_pattern": {"(" * 5000 + ")" * 5000: 1}},
}


@pytest.mark.parametrize("message", FORGED)
def test_a_forged_config_is_refused_by_field(message: str, tmp_path: Path) -> None:
    adapted(MLP(), LORA if "lora" in message else SHIRA).save_pretrained(tmp_path)
    config = tmp_path / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | FORGED[message]))
    with pytest.raises(ConfigError, match=message):
        PeftModel.from_pretrained(MLP(), tmp_path)


def test_an_expression_that_would_take_years_is_given_up() -> None:
    name = "a" * 60  # ways to write it as ones and twos: the 61st Fibonacci number, 2.5e12
    model = nn.ModuleDict({name: nn.Linear(8, 8)})
    with pytest.raises(
        ConfigError, match=r"could not be matched against 'a+' in 0.2 s. Write it without repeats inside"
    ):
        get_peft_model(model, ShiraConfig(r=1, target_modules=r"(a|aa)+[^a]"))


@given(
    st.sampled_from(
        [r".*\.(q|v)_proj", r"q_proj", r"(?:.*?(?:text).*?(?:q_proj).*?)|(?:\bm\.[\d]{1,}\.q)", r"[^.]+", ""]
    ),
    st.from_regex(r"(text|m|decoder)(\.[0-9]{1,2})?\.(q|k|v)(_proj)?", fullmatch=True),
)
def test_usual_expressions_match_what_they_match_for_peft(pattern: str, path: str) -> None:
    assert matches(pattern, path) == (re.fullmatch(pattern, path) is not None)


def shape_twice(code: torch.Tensor) -> torch.Tensor:
    return code.view(1, -1)


def endless(code: torch.Tensor) -> torch.Tensor:
    return torch.cat([torch.full((200,), 0xFF, dtype=torch.uint8), code])


def far_away(code: torch.Tensor) -> torch.Tensor:
    """The first gap is 2^34 or more: the row would not fit into 32 bits, and look like another one."""
    return torch.cat([torch.tensor([0x80, 0x80, 0x80, 0x80, 0x7F], dtype=torch.uint8), code[1:]])


@pytest.mark.parametrize("forge", [shape_twice, endless, far_away])
def test_forged_gaps_are_refused(forge: object, tmp_path: Path) -> None:
    adapted(MLP(), SHIRA.copy(mask_type="magnitude")).save_pretrained(tmp_path, compact=True)
    file = tmp_path / "adapter_compact.safetensors"
    tensors = load_file(file)
    tensors["base_model.model.lin1.gaps"] = forge(tensors["base_model.model.lin1.gaps"])  # type: ignore[operator]
    save_file(tensors, file)
    with pytest.raises(StorageError, match="The file holds no usable positions for 'lin1'"):
        PeftModel.from_pretrained(MLP(), tmp_path)


# ---- what a file may cost -------------------------------------------------------------------------------------------

PEAK = """
import sys, torch
from pathlib import Path
from shira_lab import PeftModel
model = torch.nn.ModuleDict({"one": torch.nn.Linear(4000, 4000, bias=False)})
def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024
before = peak()
try:
    PeftModel.from_pretrained(model, sys.argv[1])
except ValueError as error:
    print("refused", error, file=sys.stderr)
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak from Linux's /proc")
@pytest.mark.parametrize("whole", [True, False])
def test_reading_takes_no_more_than_twice_the_file_and_a_constant(whole: bool, tmp_path: Path) -> None:
    model = nn.ModuleDict({"one": nn.Linear(4000, 4000, bias=False)})
    get_peft_model(model, ShiraConfig(r=700, target_modules=["one"], random_seed=0)).save_pretrained(tmp_path)
    file = tmp_path / "adapter_model.safetensors"
    size = file.stat().st_size
    if not whole:
        file.write_bytes(file.read_bytes()[:-9])
    run = subprocess.run(
        [sys.executable, "-c", PEAK, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(ROOT)},
    )
    assert ("refused" in run.stderr) is not whole
    assert int(run.stdout) < 2 * size + 30e6
