"""The study's log, one JSON object a line: the protocol first, then each run as it ends."""

from shira_lab.course.fusion.records import FusionRun, Protocol
from shira_lab.course.fusion.results import Study
from shira_lab.course.logs import Content, Log

SHIPPED = "runs.jsonl"  # made by scripts/fuse.py
REAL = "real.jsonl"  # made by scripts/fuse_real.py


def _whole(protocol: Content, runs: list[Content]) -> Study:
    tuples = {name: tuple(protocol[name]) for name in ("worlds", "scales", "seeds")}
    return Study(Protocol(**{**protocol, **tuples}), tuple(FusionRun.from_dict(run) for run in runs))


LOG = Log("a study of fusing", "shira_lab.course.fusion", _whole)
read_log, begin_log, append_run = LOG.read, LOG.begin, LOG.append


def shipped(name: str = SHIPPED) -> Study:
    """A study that ships with the package: ``SHIPPED`` on the embedded model, or ``REAL``."""
    return LOG.shipped(name)
