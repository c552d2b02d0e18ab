"""The seven steps of the lesson "Build it", in which a learner writes SHiRA.

Each solution is that of :mod:`shira_lab.minimal`, as far as it goes, without a config. A step uses the names of the
steps before it, wherever it is run: a learner's function the learner's, a solution here those of this package.
"""
