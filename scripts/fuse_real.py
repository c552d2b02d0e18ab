"""Fuse pairs of adapters on a real pretrained model, SmolLM2-135M, and keep what was measured in a log.

The rules are those of scripts/fuse.py, with the learning rates that were best in scripts/compare_real.py. Run it again
to resume: finished runs are read from the log, trained adapters from the folder.

    python scripts/fuse_real.py shira_lab/course/fusion/real.jsonl adapters
"""

from fuse import run_plan

from shira_lab.course.fusion.records import Pair, Protocol

PROTOCOL = Protocol(
    model="smollm2-135m",
    target=0.7,
    steps=40,
    batch_size=1,
    stories=6,
    first_look=12,
    learning_rates={"lora": 0.01, "random": 0.03, "magnitude": 0.03},
)
PAIRS = (
    Pair("lora", "other seed"),
    Pair("random", "other seed"),
    Pair("random", "disjoint"),
    Pair("magnitude", "same weights"),
)

if __name__ == "__main__":
    run_plan(PAIRS, PROTOCOL, str(__doc__))
