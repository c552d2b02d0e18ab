"""What a teacher reads first in a handout: which folder is whose, and the commands in their order."""

_SAME = """# A handout of SHiRA Lab

- `learners/`: give this to your class. Its lessons hold no solution.
- `teacher/`: keep this to yourself. The lessons with your notes, the solutions and what the checks say of them.
  `marking.json` holds the seed of the hidden tests.

Where the file `solutions-are-kept` lies beside a notebook, `solution(...)` shows nothing, and a lesson that goes on
with a solution does not show it. Delete the file, or set `SHIRA_LAB_SOLUTIONS=shown`, when solutions are to be seen.
This is a switch and no lock: solutions and the recipes of the hidden tests are in the package, where a determined
learner can read them. The inputs of the hidden tests depend on the seed, which is not there.

Marking runs the code that learners wrote. Do it on a machine, or under an account, on which that does no harm.
"""

README = {
    "plain": _SAME
    + """
## Collect and mark

Learners write into the sheets in `learners/exercises/` and hand these files in. Put those of one lesson into a folder,
each under its learner's name (`ada.ipynb`, `ben.ipynb`), and call

    shira-lab grade HANDINS --lesson 1 --marking teacher/marking.json --out grades.csv
""",
    "nbgrader": _SAME
    + """
## Collect and mark, with nbgrader

    pip install nbgrader
    nbgrader generate_assignment 01-start-here      # makes release/, without solutions and hidden tests
    # learners hand in submitted/NAME/01-start-here/01-start-here.ipynb
    nbgrader autograde 01-start-here
    nbgrader generate_feedback 01-start-here
    nbgrader export                                 # grades.csv

The same for each other folder of `source/`. nbgrader keeps the hidden tests in its data base, `gradebook.db`.
""",
    "otter": _SAME
    + """
## Collect and mark, with Otter-Grader

    pip install otter-grader
    cd otter/01-start-here
    otter assign 01-start-here.ipynb dist           # dist/student for the class, dist/autograder for you
    otter run -a dist/autograder/*autograder*.zip HANDIN.ipynb

The same for each other folder of `otter/`. `otter grade` does it for many files at a time, in containers.
""",
}
