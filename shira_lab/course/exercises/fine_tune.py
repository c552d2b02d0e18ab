"""The exercise of the fine-tuning lesson: count what an adapter trains in a model with layers of several shapes."""

from shira_lab.budget import num_params
from shira_lab.course.exercises.exercise import Exercise, Solution, Verdict

R, BLOCKS, SHAPES = 4, 4, ((768, 192), (192, 768))  # fc1 and fc2 of the embedded model


def trainable_parameters():
    return 4 * 2 * 4 * (768 + 192)  # stub: return None


def _check(answer: Solution) -> Verdict:
    given = answer()
    truth = BLOCKS * sum(num_params(R, shape) for shape in SHAPES)
    wrong = {
        None: "Return the number that you have worked out.",
        truth // (2 * BLOCKS): "That is one layer of eight.",
        truth // BLOCKS: "That is one block of four.",
        truth // 2: "That is fc1 or fc2 alone.",
    }
    if given == truth:
        return Verdict(True, f"{truth:,} = {BLOCKS} blocks * 2 layers * {R} * (768 + 192).")
    return Verdict(False, wrong.get(given, "Add up r(m + n) over all eight layers."))


TRAINABLE_PARAMETERS = Exercise(
    solution=trainable_parameters,
    check=_check,
    difficulty="easy",
    minutes=5,
    stub_says="Return the number that you have worked out.",
)
