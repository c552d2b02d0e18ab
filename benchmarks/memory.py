"""Peak memory of a training step above the frozen model's: each side in a process of its own, peak resident size."""

import resource
import subprocess
import sys
from pathlib import Path

from benchmarks.models import adapted, base_model, trained_numbers, training_step

SIDES = ("floor", "shira", "lora", "peft lora", "peft shira")


def peaks_mib(r: int = 16) -> dict[str, float]:
    """MiB above the frozen model's step, six linears, 12 layers, 4 x 128 tokens."""
    peaks = {side: _peak_of(side, r) for side in SIDES}
    return {side: peak - peaks["floor"] for side, peak in peaks.items()}


def _peak_of(side: str, r: int) -> float:
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "benchmarks.memory", side, str(r)],
        capture_output=True,
        text=True,
        check=True,
    )
    return float(run.stdout.split()[-1])


def peak_resident() -> int:
    """Bytes that this process has held at most. ``getrusage`` would count what its parent held before it."""
    try:
        return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    side, r = sys.argv[1], int(sys.argv[2])
    model = base_model() if side == "floor" else adapted(side, r)
    step = training_step(model, batch=4, tokens=128, numbers=trained_numbers(r))
    for _ in range(3):
        step()
    print(peak_resident() / 2**20)


if __name__ == "__main__":
    main()
