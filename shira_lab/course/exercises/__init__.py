"""The exercises of the lessons: ``check(your_function)`` finds the one that your function is named after."""

from shira_lab.course import progress
from shira_lab.course.exercises.beats_random import BEATS_RANDOM
from shira_lab.course.exercises.block import BLOCK
from shira_lab.course.exercises.budgets import LARGEST_R
from shira_lab.course.exercises.build.files import SAVE
from shira_lab.course.exercises.build.gradient import SPARSE_WEIGHT_GRAD
from shira_lab.course.exercises.build.judging import names_of
from shira_lab.course.exercises.build.layer import ADD_SPARSE, SHIRA_LINEAR
from shira_lab.course.exercises.build.lora import LORA_LINEAR
from shira_lab.course.exercises.build.positions import MASK_POSITIONS
from shira_lab.course.exercises.build.training import INJECT, TRAIN
from shira_lab.course.exercises.build.unload import UNLOAD
from shira_lab.course.exercises.choosing import OPPOSED
from shira_lab.course.exercises.comparisons import COMPARE_SEEDS
from shira_lab.course.exercises.drawing import DRAWING
from shira_lab.course.exercises.earlier import first_broken
from shira_lab.course.exercises.exact_merge import EXACT_MERGE
from shira_lab.course.exercises.exercise import Exercise, Solution, Verdict
from shira_lab.course.exercises.fair_race import FAIR_RACE
from shira_lab.course.exercises.fine_tune import TRAINABLE_PARAMETERS
from shira_lab.course.exercises.fusion import FUSE, SECOND_CONFIG
from shira_lab.course.exercises.input_norms import INPUT_NORMS
from shira_lab.course.exercises.magnitude import MAGNITUDE
from shira_lab.course.exercises.masks import DISJOINT
from shira_lab.course.exercises.own_masks import OWN_MASKS
from shira_lab.course.exercises.own_text import OWN_TEXT
from shira_lab.course.exercises.own_way import OWN_WAY
from shira_lab.course.exercises.planner import PLAN
from shira_lab.course.exercises.rank import RANK_BOUND, REPAIRED_MAGNITUDE
from shira_lab.course.exercises.scales import BEST_SCALES
from shira_lab.course.exercises.shown import are_shown
from shira_lab.course.exercises.smallest_r import SMALLEST_R
from shira_lab.course.exercises.speed import SAMPLED_GRADIENT
from shira_lab.course.exercises.start_here import FULL_RANK
from shira_lab.course.exercises.strangers import REFUSED
from shira_lab.course.exercises.sure_rank import ALWAYS_FULL_RANK, FEWEST
from shira_lab.course.exercises.timing import FAIR_RATIO
from shira_lab.course.language import tr
from shira_lab.errors import ShiraError

__all__ = ["EXERCISES", "Exercise", "Verdict", "check", "judge", "mine_or_solution", "solution"]

#: All exercises by name, in the order of the lessons.
EXERCISES = {
    exercise.name: exercise
    for exercise in (
        FULL_RANK,
        SMALLEST_R,
        DISJOINT,
        DRAWING,
        LARGEST_R,
        PLAN,
        RANK_BOUND,
        REPAIRED_MAGNITUDE,
        TRAINABLE_PARAMETERS,
        OWN_TEXT,
        COMPARE_SEEDS,
        FAIR_RACE,
        OPPOSED,
        INPUT_NORMS,
        MAGNITUDE,
        BLOCK,
        FEWEST,
        ALWAYS_FULL_RANK,
        BEATS_RANDOM,
        OWN_MASKS,
        EXACT_MERGE,
        REFUSED,
        SECOND_CONFIG,
        FUSE,
        BEST_SCALES,
        SAMPLED_GRADIENT,
        FAIR_RATIO,
        MASK_POSITIONS,
        ADD_SPARSE,
        SHIRA_LINEAR,
        SPARSE_WEIGHT_GRAD,
        INJECT,
        TRAIN,
        UNLOAD,
        SAVE,
        LORA_LINEAR,
        OWN_WAY,
    )
}


KEPT = "On with the solution of {name}."


class Code(str):
    """Source code that a notebook shows as it is."""

    def __repr__(self) -> str:
        return str(self)


def check(answer: Solution) -> Verdict:
    """What the exercise's check says of your function, kept in your progress.

    Raises:
        ShiraError: when no exercise asks for a function of this name.
    """
    verdict = judge(answer)
    progress.keep_check(answer.__name__, verdict.passed, verdict.message)
    return verdict


def judge(answer: Solution) -> Verdict:
    """What :func:`check` says, kept nowhere; an error that the function raises is a finding, too.

    Raises:
        ShiraError: as :func:`check`.
    """
    exercise = _find(getattr(answer, "__name__", repr(answer)))
    try:
        verdict = exercise.check(answer)
    except Exception as error:  # whatever a learner's code may raise
        verdict = Verdict(False, tr("Your function stopped with {error}", error=f"{type(error).__name__}: {error}"))
    if verdict.passed or not (broken := first_broken(answer, EXERCISES)):
        return verdict
    return Verdict(
        False,
        f"{broken}, which {exercise.name} uses, does not pass its own check: look at `check({broken})` first, or go on "
        f"with its solution, `{broken} = mine_or_solution({broken})`.",
    )


def solution(name: str) -> Code:
    """The solution of the exercise whose function has this name.

    Raises:
        ShiraError: no exercise has this name, or solutions are kept back here.
    """
    exercise = _find(name)
    if not are_shown():
        raise ShiraError(f"The solution of {name} is kept back here; `check({name})` says what is probably wrong.")
    return Code(exercise.answer)


def mine_or_solution(answer: Solution) -> Solution:
    """Your function or class where its check passes; where not, the solution, run among your other names.

    Raises:
        ShiraError: as :func:`check`.
    """
    exercise = _find(getattr(answer, "__name__", repr(answer)))
    if judge(answer).passed:
        print(tr("On with your {name}.", name=exercise.name))
        return answer
    shown = are_shown()
    said = tr("On with the solution of {name}; `solution({name!r})` shows it.") if shown else tr(KEPT)
    print(said.format(name=exercise.name))
    return exercise.made_among(names_of(answer), readable=shown)


def _find(name: str) -> Exercise:
    if name not in EXERCISES:
        raise ShiraError(f"No exercise asks for a function named {name!r}; there are {', '.join(EXERCISES)}.")
    return EXERCISES[name]
