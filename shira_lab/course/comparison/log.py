"""A comparison's log, one JSON object a line: the protocol first, then each run as it ends."""

from shira_lab.course.comparison.records import Protocol, Run
from shira_lab.course.comparison.results import Comparison
from shira_lab.course.logs import Content, Log

SHIPPED = "runs.jsonl"  # made by scripts/compare.py
POSITIONS = "positions.jsonl"  # made by scripts/choose_positions.py
PUBLISHED = "published.jsonl"  # made by scripts/race_published.py
DYNAMIC = "dynamic.jsonl"  # made by scripts/race_dynamic.py
WAYS = "ways.jsonl"  # made by scripts/race_ways.py
REAL = "real.jsonl"  # made by scripts/compare_real.py


def _whole(protocol: Content, runs: list[Content]) -> Comparison:
    tuples = {name: tuple(protocol[name]) for name in ("learning_rates", "seeds")}
    if rates := protocol.get("full_learning_rates"):
        tuples["full_learning_rates"] = tuple(rates)
    return Comparison(Protocol(**{**protocol, **tuples}), tuple(Run.from_dict(run) for run in runs))


LOG = Log("a comparison", "shira_lab.course.comparison", _whole)
read_log, begin_log, append_run = LOG.read, LOG.begin, LOG.append


def shipped(name: str = SHIPPED) -> Comparison:
    """A comparison that ships: ``REAL``, or on the embedded model ``SHIPPED``, ``POSITIONS``, ``PUBLISHED``,
    ``DYNAMIC`` or ``WAYS``."""
    return LOG.shipped(name)
