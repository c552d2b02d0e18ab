"""What every app is: one object with its state in traits, a live view, and a still of it for where nothing runs.

The traits tagged ``state=True`` are the only copy of the state; controls are linked to them both ways.
"""

import base64
import shlex
from collections.abc import Callable
from typing import Any, ClassVar, Self

import ipywidgets
import traitlets

from shira_lab.course.widgets.cells import replaces_its_predecessor
from shira_lab.course.widgets.giving_back import gives_back_after_each_cell
from shira_lab.course.widgets.still import Still, tree
from shira_lab.errors import ConfigError


class App(traitlets.HasTraits):
    """Base of the apps. A subclass makes ``view`` and its controls, and links and observes through the methods here."""

    #: Names of the controls that can be shown, in their order.
    controls_offered: ClassVar[tuple[str, ...]] = ()

    def __init__(self, show: tuple[str, ...] | None = None, **state: Any) -> None:
        """Set the ``state``; ``show`` names the controls to be seen, None for all."""
        self.controls: dict[str, Any] = {}
        self._links: dict[str, traitlets.link] = {}
        self._undo: list[Callable[[], None]] = []
        self._check_names("control", show or (), self.controls_offered)
        self._check_names("state", state, self.traits(state=True))
        self.shown = self.controls_offered if show is None else show
        self.view = ipywidgets.VBox()
        self._still = Still(self.view, lambda: repr(self), settle=self._settle)
        self.after_each_cell(self._still.catch_up)
        super().__init__(**state)
        replaces_its_predecessor(self)
        gives_back_after_each_cell()

    def _check_names(self, what: str, given: Any, known: Any) -> None:
        unknown = [name for name in given if name not in known]
        if unknown:
            raise ConfigError(f"{type(self).__name__} has no {what} '{unknown[0]}'; it has {', '.join(known)}.")

    # ---- state ------------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """The state by name."""
        return {name: getattr(self, name) for name in self.traits(state=True)}

    def state_text(self) -> str:
        """The state as one line, to be kept or passed on; :meth:`from_text` makes an equal app of it."""
        return shlex.join(f"{name}={value}" for name, value in self.state().items())

    @classmethod
    def read_state(cls, text: str) -> dict[str, Any]:
        """The state by name that :meth:`state_text` wrote.

        Raises:
            ConfigError: when the text is no state of this app.
        """
        traits = cls.class_traits(state=True)
        state: dict[str, Any] = {}
        for part in shlex.split(text):
            name, equals, value = part.partition("=")
            if name not in traits or not equals:
                raise ConfigError(f"{part!r} is no part of a {cls.__name__}'s state; known are {', '.join(traits)}.")
            try:
                state[name] = traits[name].from_string(value)
            except (ValueError, traitlets.TraitError):
                raise ConfigError(f"{part!r}: {value!r} is no value for `{name}`.") from None
        return state

    @classmethod
    def from_text(cls, text: str, *args: Any, **kwargs: Any) -> Self:
        """An app in the state that :meth:`state_text` wrote; further arguments as for the class.

        Raises:
            ConfigError: when the text is no state of this app.
        """
        return cls(*args, **{**kwargs, **cls.read_state(text)})

    # ---- wiring, all of it undone by close --------------------------------------------------------------------------

    def link(self, name: str, control: Any) -> None:
        """Tie the trait ``name`` to the control's value, both ways; a menu also offers what the trait is set to."""
        self.controls[name] = control
        if isinstance(control, ipywidgets.Dropdown):
            self.on_change(lambda change: self.offer(name, change["new"]), name)
        self._links[name] = traitlets.link((self, name), (control, "value"))

    def offer(self, name: str, *values: Any) -> None:
        """Add what is missing of ``values`` to the menu of the trait ``name``; the choice stays."""
        menu = self.controls[name]
        there = [value for _, value in menu.options]
        new = [(str(value), value) for value in values if value not in there]
        if new:
            self._links[name].unlink()  # a menu with new options selects the first of them
            menu.options = (*menu.options, *new)
            self._links[name].link()

    def after_each_cell(self, action: Callable[[], None]) -> None:
        """Call ``action`` whenever a cell of the notebook has run."""
        from IPython.core.getipython import get_ipython

        def after(_: Any) -> None:
            action()

        shell = get_ipython()
        if shell is not None:
            shell.events.register("post_run_cell", after)
            self._undo.append(lambda: shell.events.unregister("post_run_cell", after))

    def on_change(self, handler: Callable[[Any], None], *names: str) -> None:
        """Call ``handler(change)`` when one of these traits changes."""
        self.observe(handler, list(names))
        self._undo.append(lambda: self.unobserve(handler, list(names)))

    def _settle(self) -> None:
        """Finish what the pictures wait for; a subclass that computes beside them says how."""

    def close(self) -> None:
        """Let go of all observers, and take the widgets out of the page."""
        self._still.close()
        while self._links:
            self._links.popitem()[1].unlink()
        while self._undo:
            self._undo.pop()()
        for root in (self.view, *self.controls.values()):
            for widget in tree(root):
                widget.close()

    # ---- display ----------------------------------------------------------------------------------------------------

    def _ipython_display_(self) -> None:
        self._still.display()

    def _repr_mimebundle_(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The app as it stands, for places without a kernel."""
        bundle, picture = self._still.bundle(), self.picture()
        return {**bundle, "image/png": base64.b64encode(picture).decode()} if picture else bundle

    def picture(self) -> bytes | None:
        """A PNG of the app for places that read no HTML, or None."""
        return None

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value}" for name, value in self.state().items())
        return f"{type(self).__name__}({values})"
