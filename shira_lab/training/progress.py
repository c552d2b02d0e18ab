"""A progress bar for terminals, as a listener to a run."""

from collections.abc import Callable

from tqdm.auto import tqdm

from shira_lab.training.history import History


def progress_bar(steps: int) -> Callable[[History], None]:
    """A listener that draws one bar on stderr: steps, time and loss. It closes itself when the run has ended."""
    bar = tqdm(total=steps, unit="step", dynamic_ncols=True, mininterval=0)

    def listen(history: History) -> None:
        if history.steps:
            bar.set_postfix(
                loss=f"{history.steps[-1].loss:.3f}", held_out=f"{history.evals[-1].loss:.3f}", refresh=False
            )
        bar.n = history.step
        bar.refresh()
        if history.status != "running":
            bar.close()

    return listen
