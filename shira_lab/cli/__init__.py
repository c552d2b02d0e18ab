"""The command line, ``shira-lab``; each command has a file of its own."""

import argparse
import os
import sys
from collections.abc import Sequence

from shira_lab.errors import ShiraError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code, 2 when something that was asked for cannot be done."""
    try:
        asked = parser().parse_args(arguments)
        return int(asked.run(asked))
    except ShiraError as error:
        if os.environ.get("RANK", "0") == "0":  # under torchrun the first process speaks for all
            print(f"shira-lab: {error}", file=sys.stderr)
        return 2


def parser() -> argparse.ArgumentParser:
    """The parser of all commands.

    Raises:
        MissingExtra: the commands need packages that are not installed.
    """
    from shira_lab.cli import finetune, fuse, generate, handout, inspect, lab, progress

    top = argparse.ArgumentParser(prog="shira-lab", description="Sparse high rank adapters, trained and looked at.")
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in (lab, finetune, generate, fuse, inspect, handout, progress):
        command.add_command(commands)
    return top
