"""Adapter files that are damaged or forged, by the million: each loads and is valid, or is refused with a ShiraError.

python scripts/fuzz_adapters.py [--files 1000000] [--seed 0] [--keep build/fuzz]

Every file comes from a seed of its own, so a finding is repeated with ``--seed SEED --files 1``. Bytes are flipped,
cut, doubled and inserted; headers and configs are also forged as JSON, so that damage reaches what lies behind the
parsers. Memory is limited while files are read, so that a forged size cannot be believed.
"""

import argparse
import json
import random
import resource
import struct
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from shira_lab import LoraConfig, PeftModel, ShiraConfig, ShiraError, get_peft_model
from shira_lab.adapters.config import AdapterConfig
from shira_lab.adapters.storage.folder import CONFIG_NAME, TENSOR_FILES
from shira_lab.layers import ShiraAdapter

#: Content by file name.
Files = dict[str, bytes]
SPARE_BYTES = 2**30
SLOW_SECONDS = 2.0
NUMBERS = (0, 1, -1, 2, 3, 7, 127, 255, 2**16, 2**31 - 1, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64, 10**40, 10**400)
VALUES: tuple[Any, ...] = (
    *NUMBERS, None, True, False, 0.5, -0.0, 1e308, 1e-320, float("nan"), float("inf"), "", "all-linear", ".*", "(",
    "(.+)+!", "(a|a)*$", "a{4294967296}", "(" * 400, "[[]", "../../etc/passwd", "/dev/zero", "SHIRA", "LORA", "lin0",
    "lin1", "random", "magnitude", "snip", "\ud800", "\0", "x" * 5000, [], [""], ["lin0"], ["lin1", "lin2"], [[]],
    [None], [1], [True], {}, {"lin1": 2}, {"lin1": 10**400}, {"(.+)+!": 1}, {"(": 1}, {"lin0": None}, {"": "x"},
    {"lin1": float("nan")},
)  # fmt: skip
FIELDS = (
    "peft_type", "r", "target_modules", "exclude_modules", "layers_to_transform", "rank_pattern", "modules_to_save",
    "fan_in_fan_out", "inference_mode", "scale", "scale_pattern", "task_type", "base_model_name_or_path", "revision",
    "extra", "mask_type", "random_seed", "seed_per_layer", "avoid", "mask_kwargs", "init_weights", "mask_fn",
    "lora_alpha", "lora_dropout", "use_rslora", "init_lora_weights", "alpha_pattern", "bias", "unheard_of",
)  # fmt: skip
DTYPES = (
    "BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "I16", "U16", "F16", "BF16", "I32", "U32", "F32", "F64", "I64", "U64",
    "C64", "F4", "F6_E2M3", "E8M0", "X99",
)  # fmt: skip


class Finding(AssertionError):
    """A file that was neither loaded and valid nor refused in words, or left a trace."""


@dataclass
class Report:
    """What became of the files: by outcome, and the kinds of refusal by the first words of the message."""

    outcomes: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)
    slowest: float = 0.0


def net() -> nn.Module:
    """Two layers to adapt and one to train in full, under paths as long as those of real models."""
    torch.manual_seed(0)
    layers = {"lin0": nn.Linear(5, 6), "lin1": nn.Linear(6, 6, bias=False), "lin2": nn.Linear(6, 2)}
    return nn.ModuleDict({"model_decoder_layers_0_self_attention_block": nn.ModuleDict(layers)})


def originals() -> list[Files]:
    """Adapters of every kind and file form, as they are saved."""
    shira = ShiraConfig(1, ["lin0", "lin1"], random_seed=0, init_weights=False)
    configs: list[tuple[AdapterConfig, dict[str, bool]]] = [
        (shira, {}),
        (shira.copy(modules_to_save=["lin2"], rank_pattern={"lin1": 2}, scale=0.5), {}),
        (LoraConfig(2, ["lin0", "lin1"], init_lora_weights=False), {}),
        (shira, {"compact": True}),
        (shira.copy(mask_type="magnitude"), {"compact": True}),
        (shira, {"safe_serialization": False}),
    ]
    saved: list[Files] = []
    for config, form in configs:
        with tempfile.TemporaryDirectory() as folder:
            get_peft_model(net(), config).save_pretrained(folder, **form)
            saved.append({file.name: file.read_bytes() for file in Path(folder).iterdir()})
    return saved


# ---- damage ---------------------------------------------------------------------------------------------------------


def damage_bytes(content: bytes, dice: random.Random) -> bytes:
    """Flip, cut, insert, double or overwrite some bytes, more often near the beginning."""
    at = int(len(content) * dice.random() ** dice.choice((1, 4)))
    length = min(1 + int(dice.expovariate(0.1)), 400)
    some = bytes(dice.choice((0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256))) for _ in range(length))
    head, middle, tail = content[:at], content[at : at + length], content[at + length :]
    return dice.choice(
        (
            lambda: head + bytes(b ^ (1 << dice.randrange(8)) for b in middle[:1]) + middle[1:] + tail,
            lambda: head + some[: len(middle)] + tail,
            lambda: head + some + middle + tail,
            lambda: head + tail,
            lambda: head,
            lambda: head + middle + middle + tail,
            lambda: head + tail + middle,
            lambda: content + some,
            lambda: struct.pack("<Q", abs(dice.choice(NUMBERS)) % 2**64) + content[8:],
        )
    )()


def forge_json(tree: Any, dice: random.Random) -> Any:
    """The same JSON with one place somewhere inside it changed."""
    if isinstance(tree, dict) and tree and dice.random() < 0.9:
        key = dice.choice(sorted(tree))
        action = dice.random()
        if action < 0.1:
            return {k: v for k, v in tree.items() if k != key}
        if action < 0.2:
            return {(k + dice.choice("1.x\0/") if k == key else k): v for k, v in tree.items()}
        return {**tree, key: forge_json(tree[key], dice)}
    if isinstance(tree, list) and tree and dice.random() < 0.8:
        place = dice.randrange(len(tree))
        action = dice.random()
        if action < 0.1:
            return tree[:place] + tree[place + 1 :]
        if action < 0.2:
            return [*tree, tree[place]]
        return [*tree[:place], forge_json(tree[place], dice), *tree[place + 1 :]]
    if isinstance(tree, int) and dice.random() < 0.5:
        return tree + dice.choice((-8, -1, 1, 4, 8))
    return dice.choice(VALUES)


def forge_config(content: bytes, dice: random.Random) -> bytes:
    config = json.loads(content)
    for _ in range(dice.randrange(1, 3)):
        if dice.random() < 0.7:
            config = {**config, dice.choice(FIELDS): dice.choice(VALUES)}
        else:
            config = forge_json(config, dice)
    return json.dumps(config).encode()


def forge_header(content: bytes, dice: random.Random) -> bytes:
    """A safetensors file whose header says something else, and is as long as it says."""
    length = int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8 : 8 + length]), bytearray(content[8 + length :])
    name = dice.choice([name for name in header if name != "__metadata__"])
    entry = header[name]
    begin, end = entry["data_offsets"]
    action = dice.randrange(6)
    if action == 0:
        entry["dtype"] = dice.choice(DTYPES)
    elif action == 1:
        entry["shape"] = dice.choice(
            (entry["shape"][::-1], [1, *entry["shape"]], [], [2**62, 4], [0, 2**40], [end - begin])
        )
    elif action == 2:
        numbers = (
            (float("nan"), float("inf"), -1.0, 1e30, 0.5) if entry["dtype"].startswith("F") else (-1, 2**31 - 1, 6, 0)
        )
        kind = "<f" if entry["dtype"].startswith("F") else "<i"
        if end - begin >= 4:
            place = begin + 4 * dice.randrange((end - begin) // 4)
            data[place : place + 4] = struct.pack(kind, dice.choice(numbers))
    elif action == 3:
        header[name + dice.choice(("x", ".shira_indices", ".gaps", ".shape"))] = header.pop(name)
    elif action == 4:
        other = dice.choice([other for other in header if other != "__metadata__"])
        header[name], header[other] = header[other], header[name]
    else:
        header = forge_json(header, dice)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(data)


def damaged(files: Files, dice: random.Random) -> Files:
    """The files of an adapter after one to three injuries."""
    files = dict(files)
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        name = dice.choice(sorted(files))
        ways: list[Callable[[bytes, random.Random], bytes]] = [damage_bytes]
        if name == CONFIG_NAME:
            ways += [forge_config] * 3
        elif name.endswith(".safetensors"):
            ways += [forge_header] * 3
        try:
            files[name] = dice.choice(ways)(files[name], dice)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, struct.error, OverflowError):
            files[name] = damage_bytes(files[name], dice)  # an earlier injury has left nothing to forge
    return files


# ---- what must be true ----------------------------------------------------------------------------------------------


class Reader:
    """One model that is asked to load every file, as its first adapter or beside another one."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.net = folder, net()
        self.modules = list(self.net.modules())
        self.before = {name: value.clone() for name, value in self.net.state_dict().items()}

    def read(self, files: Files, beside: bool) -> str:
        """Load the files and return "loaded", or the class of the refusal.

        Raises:
            Finding: when anything else comes of it, or the model is not what it was.
        """
        for name in {*TENSOR_FILES, CONFIG_NAME} - set(files):
            (self.folder / name).unlink(missing_ok=True)
        for name, content in files.items():
            (self.folder / name).write_bytes(content)
        outcome = self._beside() if beside else self._first()
        after = self.net.state_dict()
        if list(self.net.modules()) != self.modules or not all(map(torch.equal, self.before.values(), after.values())):
            raise Finding("the model has changed")
        return outcome

    def _first(self) -> str:
        flags = [parameter.requires_grad for parameter in self.net.parameters()]
        try:
            model = PeftModel.from_pretrained(self.net, self.folder)
        except ShiraError as refusal:
            if [parameter.requires_grad for parameter in self.net.parameters()] != flags:
                raise Finding("a refused file has frozen the model") from None
            return _refused(refusal)
        _check_valid(model, "default")
        model.unload()
        self.net.requires_grad_(True)
        return "loaded"

    def _beside(self) -> str:
        model = get_peft_model(self.net, ShiraConfig(1, ["lin0"], random_seed=3))
        try:
            model.load_adapter(self.folder, "stranger")
            _check_valid(model, "stranger")
            return "loaded"
        except ShiraError as refusal:
            if list(model.peft_config) != ["default"] or model.active_adapters != ["default"]:
                raise Finding("a refused file has left an adapter") from None
            return _refused(refusal)
        finally:
            model.unload()
            self.net.requires_grad_(True)


def _refused(refusal: ShiraError) -> str:
    if not str(refusal).strip():
        raise Finding("a refusal without a word")
    return type(refusal).__name__


def _check_valid(model: PeftModel, name: str) -> None:
    """Numbers are finite; positions are sorted, distinct and inside the weight."""
    for _, layer in model.base_model.adapter_layers():
        if name not in layer.adapters:
            continue
        adapter = layer.get_adapter(name)
        if not all(bool(torch.isfinite(value).all()) for value in adapter.state_dict().values()):
            raise Finding("an adapter that is not finite was loaded")
        if isinstance(adapter, ShiraAdapter):
            positions = adapter.positions
            inside = int(positions[0]) >= 0 and int(positions[-1]) < layer.weight.numel()
            if not inside or bool((positions.diff() <= 0).any()) or positions.numel() != adapter.shira_weight.numel():
                raise Finding("positions that cannot be were loaded")


def fuzz(seeds: Sequence[int], keep: Path | None = None, report: Report | None = None) -> Report:
    """Read one damaged adapter for each seed, and say what became of them; findings are kept in a folder."""
    report = report or Report()
    sound = originals()
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        reader = Reader(Path(folder))
        for seed in seeds:
            dice = random.Random(seed)
            files = damaged(dice.choice(sound), dice)
            started = time.process_time()  # a machine that pauses is no finding
            try:
                outcome = reader.read(files, beside=dice.random() < 0.25)
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):
                    raise
                outcome = "finding"
                report.findings.append(f"seed {seed}: {type(error).__name__}: {str(error)[:200]}")
                reader = Reader(Path(folder))
                if keep:
                    (keep / str(seed)).mkdir(parents=True, exist_ok=True)
                    for name, content in files.items():
                        (keep / str(seed) / name).write_bytes(content)
            seconds = time.process_time() - started
            if seconds > SLOW_SECONDS:
                report.findings.append(f"seed {seed}: took {seconds:.1f} s of the processor")
            report.slowest = max(report.slowest, seconds)
            report.outcomes[outcome] += 1
    return report


def limit_memory(spare: int = SPARE_BYTES) -> None:
    """From here on the process may take ``spare`` bytes more than it has, on Linux."""
    status = Path("/proc/self/statm")
    if status.exists():
        pages = int(status.read_text().split()[0])
        limit = pages * resource.getpagesize() + spare
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def main() -> None:
    parser = argparse.ArgumentParser(description="Damaged and forged adapter files: loaded and valid, or refused.")
    parser.add_argument("--files", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path("build/fuzz"), help="folder for the files of findings")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    report, started = Report(), time.perf_counter()
    fuzz(range(options.seed, options.seed + min(500, options.files)), options.keep, Report())  # what is cached, is
    limit_memory()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    last = options.seed + options.files
    for first in range(options.seed, last, 20_000):
        fuzz(range(first, min(first + 20_000, last)), options.keep, report)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) / 1024
        print(
            f"{sum(report.outcomes.values()):,} files in {time.perf_counter() - started:.0f} s: "
            f"{dict(report.outcomes)}, slowest {1000 * report.slowest:.0f} ms, peak memory +{grown:.0f} MiB, "
            f"{len(report.findings)} findings",
            flush=True,
        )
    print("\n".join(report.findings[:50]))
    sys.exit(bool(report.findings))


if __name__ == "__main__":
    main()
