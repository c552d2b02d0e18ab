"""What an exercise is worth, from its difficulty and the minutes that a learner should expect."""

from shira_lab.course.exercises import Exercise

#: For every five minutes, begun ones too.
EACH_FIVE_MINUTES = {"easy": 2, "medium": 3, "hard": 4}


def points_of(exercise: Exercise) -> tuple[int, int]:
    """Points of the visible tests and of the hidden ones: of all points a third is hidden, and at least one."""
    points = EACH_FIVE_MINUTES[exercise.difficulty] * -(-exercise.minutes // 5)
    hidden = max(1, points // 3)
    return points - hidden, hidden
