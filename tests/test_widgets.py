"""Sliders do what the function under them does, at every end of their range."""

import inspect

import ipywidgets
import numpy as np
import pytest

from helpers import show, widgets
from helpers.widgets import WIDGET_VIEW, explore, try_extremes


@pytest.fixture(autouse=True)
def nothing_explored_before(monkeypatch):
    monkeypatch.setattr(widgets, "_explorers", [])


def square(brightness=100, size=8, tint="none", scale=0.5):
    if brightness > 250:
        raise ValueError("expected a brightness up to 250; lower it, <please>")
    colour = np.full((size, size, 3), brightness, np.uint8)
    return show.strip(
        {"square": colour}, alt=f"a square of brightness {brightness} and tint {tint}"
    )


def test_a_control_is_made_for_each_knob_and_begins_at_the_default():
    explorer = explore(square, brightness=(0, 250, 10), tint=["none", "red"], scale=(0.0, 1.0, 0.1))
    kinds = {name: type(control) for name, control in explorer.controls.items()}
    assert kinds == {
        "brightness": ipywidgets.IntSlider,
        "tint": ipywidgets.Dropdown,
        "scale": ipywidgets.FloatSlider,
    }
    assert explorer.values() == {"brightness": 100, "tint": "none", "scale": 0.5}


def test_the_figure_follows_its_controls_with_its_words():
    explorer = explore(square, brightness=(0, 250, 10))
    explorer._repr_mimebundle_()
    first = explorer.figure.value
    explorer.controls["brightness"].value = 30
    assert explorer.figure.value != first
    assert 'alt="a square of brightness 30 and tint none"' in explorer.figure.value
    assert '<img src="data:image/png;base64,' in explorer.figure.value


def test_an_error_of_the_function_is_shown_in_place_of_the_figure():
    explorer = explore(square, brightness=(0, 255, 1))
    explorer.controls["brightness"].value = 255
    assert "lower it, &lt;please&gt;" in explorer.figure.value


def test_a_slow_figure_waits_for_its_button():
    explorer = explore(square, button="draw", brightness=(0, 250, 10))
    explorer._repr_mimebundle_()
    explorer.controls["brightness"].value = 30
    assert explorer.figure.value == ""
    explorer.button.click()
    assert "brightness 30" in explorer.figure.value


def test_where_no_widget_can_be_shown_words_stand_for_it():
    bundle = explore(square, brightness=(0, 250, 10), size=(1, 9, 1))._repr_mimebundle_()
    assert bundle["text/plain"] == "(run this cell to move brightness, size)"
    assert set(bundle) == {"text/plain", WIDGET_VIEW}


def test_every_explored_function_is_called_at_the_ends_of_its_knobs():
    calls = []

    def recorded(**knobs):
        calls.append(knobs)
        return square(**knobs)

    recorded.__signature__ = inspect.signature(square)
    explore(recorded, brightness=(0, 250, 10), tint=["none", "red", "blue"])
    assert try_extremes() == len(calls) == 5
    defaults = {"brightness": 100, "tint": "none"}
    changes = [{}, {"brightness": 0}, {"brightness": 250}, {"tint": "none"}, {"tint": "blue"}]
    assert calls == [defaults | change for change in changes]


def test_trying_the_ends_finds_a_function_that_fails_there():
    explore(square, brightness=(0, 255, 1))
    with pytest.raises(ValueError, match="expected a brightness up to 250"):
        try_extremes()


def test_trying_the_ends_finds_a_function_that_returns_no_figure():
    explore(lambda x=1: None, x=(0, 2, 1))
    with pytest.raises(TypeError, match="got NoneType; return what"):
        try_extremes()


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({}, "expected at least one knob"),
        ({"colour": (0, 1, 1)}, "expected a knob among the arguments of square"),
        ({"brightness": (110, 250, 10)}, "expected a default from 110 to 250, got 100"),
        ({"tint": ["red", "blue"]}, "expected the default 'none' among"),
    ],
)
def test_knobs_that_the_function_does_not_have_are_refused(knobs, message):
    with pytest.raises(ValueError, match=message):
        explore(square, **knobs)
