"""Sliders over a function that works without them.

A notebook defines a function of its knobs that returns a figure, calls it once so that every
reader sees the result, and then hands it to `explore`. Nothing but the call happens in the widget,
so what a slider can reach, a test can reach: `try_extremes` calls every function that was handed
over at the least, the default and the greatest value of each knob.
"""

import html
import inspect
from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Any

import ipywidgets

from helpers.show import Shown

Range = tuple[float, float, float]
"""Least value, greatest value, step. Whole numbers give a slider of whole numbers."""

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"

_explorers: list["Explorer"] = []


class Explorer:
    """Controls above a figure that follows them; `explore` makes it."""

    def __init__(
        self, draw: Callable[..., Shown], knobs: dict[str, Range | list], button: str | None
    ) -> None:
        self.draw = draw
        self.defaults = _defaults(draw, knobs)
        self.controls = {
            name: _control(name, knob, self.defaults[name]) for name, knob in knobs.items()
        }
        self.figure = ipywidgets.HTML()
        self.button = ipywidgets.Button(description=button) if button else None
        if self.button:
            self.button.on_click(self.update)
        else:
            for control in self.controls.values():
                control.observe(self.update, names="value")
        rows = [*self.controls.values(), *([self.button] if self.button else []), self.figure]
        self.box = ipywidgets.VBox(rows)

    def values(self) -> dict[str, Any]:
        """Return what the controls say now."""
        return {name: control.value for name, control in self.controls.items()}

    def update(self, _: object = None) -> None:
        """Draw the figure anew; an error of the function takes its place."""
        try:
            self.figure.value = _as_html(self.draw(**self.values()))
        except ValueError as error:  # such as a low threshold above the high one
            self.figure.value = f"<pre>{html.escape(str(error))}</pre>"

    def extremes(self) -> Iterator[dict[str, Any]]:
        """Yield the defaults, then each knob alone at its least and at its greatest value."""
        yield dict(self.defaults)
        for name, control in self.controls.items():
            ends = (
                control.options
                if isinstance(control, ipywidgets.Dropdown)
                else (control.min, control.max)
            )
            for value in (ends[0], ends[-1]):
                yield self.defaults | {name: value}

    def _repr_mimebundle_(self, **_: object) -> dict[str, object]:
        if not self.button and not self.figure.value:
            self.update()
        names = ", ".join(self.controls)
        return {
            "text/plain": f"(run this cell to move {names})",
            WIDGET_VIEW: {
                "version_major": 2,
                "version_minor": 0,
                "model_id": self.box.model_id,
            },
        }


def explore(
    draw: Callable[..., Shown], *, button: str | None = None, **knobs: Range | list
) -> Explorer:
    """Show a figure under sliders.

    Args:
        draw: returns a figure of `helpers.show`; every knob is one of its keyword arguments and
            has a default there, which is where its control begins.
        button: a label; the figure is then drawn when the button is pressed, for functions that
            take longer than a second.
        **knobs: for each argument (least, greatest, step), or a list of values to choose from.

    Raises:
        ValueError: no knobs, a knob that `draw` does not have or that has no default, or a default
            out of the knob's range.
    """
    explorer = Explorer(draw, knobs, button)
    _explorers.append(explorer)
    return explorer


def try_extremes() -> int:
    """Call every explored function at the ends of its knobs; return the number of calls.

    Raises:
        TypeError: a function returned something else than a figure.
    """
    calls = 0
    for explorer in _explorers:
        for values in explorer.extremes():
            figure = explorer.draw(**values)
            if not isinstance(figure, Shown):
                raise TypeError(
                    f"{explorer.draw.__name__}({values}): expected a figure of helpers.show, got "
                    f"{type(figure).__name__}; return what show.strip or show.curves returns"
                )
            calls += 1
    return calls


def _defaults(draw: Callable[..., Shown], knobs: dict[str, Range | list]) -> dict[str, Any]:
    arguments = inspect.signature(draw).parameters
    defaults = {
        name: one.default for name, one in arguments.items() if one.default is not one.empty
    }
    for name in knobs:
        if name not in defaults:
            raise ValueError(
                f"expected a knob among the arguments of {draw.__name__} with a default, "
                f"{', '.join(defaults) or '(none)'}; got {name!r}"
            )
    if not knobs:
        raise ValueError(f"{draw.__name__}: expected at least one knob, such as low=(0, 255, 5)")
    return {name: defaults[name] for name in knobs}


def _control(name: str, knob: Range | list, default: Any) -> ipywidgets.DOMWidget:
    shown = {"description": name.replace("_", " "), "style": {"description_width": "initial"}}
    if isinstance(knob, list):
        if default not in knob:
            raise ValueError(f"{name}: expected the default {default!r} among {knob}")
        return ipywidgets.Dropdown(options=knob, value=default, **shown)
    least, greatest, step = knob
    if not least <= default <= greatest:
        raise ValueError(
            f"{name}: expected a default from {least} to {greatest}, got {default}; change one"
        )
    whole = all(isinstance(value, int) for value in (least, greatest, step, default))
    slider = ipywidgets.IntSlider if whole else ipywidgets.FloatSlider
    return slider(value=default, min=least, max=greatest, step=step, **shown)


def _as_html(figure: Shown) -> str:
    source = f"data:{figure.mime};base64,{b64encode(figure.data).decode('ascii')}"
    return f'<img src="{source}" alt="{html.escape(figure.alt, quote=True)}">'
