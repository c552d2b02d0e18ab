"""``shira-lab lab``: copy the lessons into a folder of one's own and open JupyterLab on the first."""

import argparse
import os
from pathlib import Path


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    lab = commands.add_parser(
        "lab",
        help="copy the lessons into a folder and open JupyterLab on the first",
        description="Copy the lessons that are not there yet into a folder, and open JupyterLab on the first. What "
        "lies in the folder is kept. JupyterLab answers on this machine only.",
    )
    lab.add_argument("folder", nargs="?", default="lessons", type=Path, metavar="DIR", help="default: lessons")
    lab.add_argument(
        "--language", default="en", metavar="CODE", help="of lessons and apps, de for instance; default: en"
    )
    lab.add_argument("--newer", action="store_true", help="take newer versions of lessons; yours get another name")
    lab.add_argument("--no-browser", action="store_true", help="print the address and open no browser")
    lab.add_argument("--only-copy", action="store_true", help="copy the lessons and open nothing")
    lab.set_defaults(run=run)


def run(asked: argparse.Namespace) -> int:
    from shira_lab.course.lessons import copy_lessons

    copied = copy_lessons(asked.folder, asked.newer, asked.language)
    if copied.new:
        print(f"Copied into {asked.folder}: {', '.join(copied.new)}.")
    if copied.kept:
        print(f"Yours are kept as {', '.join(copied.kept)}.")
    if copied.newer:
        print(f"Newer than yours: {', '.join(copied.newer)}. Yours are kept; --newer takes the new ones beside them.")
    if not asked.only_copy:
        from jupyterlab.labapp import LabApp

        print("JupyterLab opens the first lesson in your browser. Where none opens, copy the address below.")
        print("Stop with Ctrl-C.", flush=True)
        LabApp.launch_instance(jupyter_options(asked.folder, asked.no_browser))
    return 0


def jupyter_options(folder: Path, no_browser: bool) -> list[str]:
    """JupyterLab's options: the first lesson of the folder, for this machine alone, behind the token that it draws."""
    from shira_lab.course.lessons import FIRST

    options = [f"--ServerApp.root_dir={folder.resolve()}", f"--LabApp.default_url=/lab/tree/{FIRST}"]
    options += ["--ip=127.0.0.1", "--log-level=WARN", "--KernelManager.transport_encryption=auto"]
    if no_browser:
        options.append("--no-browser")
    if hasattr(os, "geteuid") and os.geteuid() == 0:  # Jupyter refuses to run as root unless told to
        options.append("--allow-root")
    return options
