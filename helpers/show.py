"""Every figure of the suite, so that all of them look alike and every one has an alt text.

A figure is rendered at once and shown with its description. That keeps notebooks free of
plotting code and of settings of the plotting backend. Exported pages carry the alt text.
"""

import io
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib
import matplotlib.ticker
import numpy as np
import PIL.Image
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from helpers.images import to_rgb

DOTS_PER_INCH = 100
GAP = 12
TITLE_HEIGHT = 26
BAR_WIDTH = 12
BAR_LABELS = 52
LARGEST_PNG = 60_000
"""Bytes; busier figures are kept as JPEG, so that a notebook stays below 1 MB."""

FONT = {"family": "DejaVu Sans", "size": 10}
MAP_COLOURS, SIGNED_COLOURS, UNKNOWN = "viridis", "RdBu_r", "0.85"


@dataclass(frozen=True)
class Shown:
    """A figure as a notebook displays it: a picture, and the words that stand for it."""

    data: bytes
    """A PNG or JPEG file."""
    mime: str
    alt: str

    def _repr_mimebundle_(self, **_: object) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
        # The words go where web exports look for them, and where no picture can be shown.
        encoded = b64encode(self.data).decode("ascii")
        return {self.mime: encoded, "text/plain": self.alt}, {self.mime: {"alt": self.alt}}


def strip(
    panels: Mapping[str, NDArray],
    *,
    alt: str,
    columns: int | None = None,
    height: int = 240,
    limits: tuple[float, float] | None = None,
    unit: str = "",
) -> Shown:
    """Show pictures side by side, each under its title.

    Args:
        panels: title to picture; a uint8 picture is shown as it is, a float map of shape (H, W)
            in colours from dark (low) to bright (high) with a scale beside it, and in grey
            where it is NaN, which means unknown.
        alt: what a reader who cannot see the figure should know.
        columns: panels in a row; default all of them.
        height: height of a panel in pixels. Pictures are scaled to it, pixel by pixel.
        limits: lowest and highest value of the float maps; default those of each map. Around 0,
            such as (-1, 1), they give blue below, white at 0 and red above.
        unit: what the numbers of the float maps mean, written at their scale.

    Raises:
        ValueError: no panels, or no alt text.
    """
    _check_content(panels, "panel", alt)
    columns = min(columns or len(panels), len(panels))
    rows = -(-len(panels) // columns)
    entries = [(title, np.asarray(image)) for title, image in panels.items()]
    widths = [
        max(_panel_width(image, height) for _, image in entries[column::columns])
        for column in range(columns)
    ]
    total = (sum(widths) + (columns + 1) * GAP, rows * (height + TITLE_HEIGHT + GAP))
    figure = _figure(*total)
    for number, (title, image) in enumerate(entries):
        row, column = divmod(number, columns)
        left = GAP + sum(widths[:column]) + column * GAP
        bottom = total[1] - (row + 1) * (height + TITLE_HEIGHT + GAP) + GAP
        width = _picture_width(image, height)
        axes = _axes(figure, total, left, bottom, width, height)
        axes.set_title(title, fontdict=FONT, pad=6)
        axes.axis("off")
        if _is_map(image):
            low, high = limits or (None, None)
            colours = SIGNED_COLOURS if limits and low == -high else MAP_COLOURS
            drawn = axes.imshow(
                image,
                cmap=matplotlib.colormaps[colours].with_extremes(bad=UNKNOWN),
                vmin=low,
                vmax=high,
                interpolation=_interpolation(image, height),
            )
            scale = _axes(figure, total, left + width + 6, bottom, BAR_WIDTH, height)
            figure.colorbar(drawn, cax=scale)
            scale.tick_params(labelsize=8)
            scale.set_title(unit, fontsize=8, loc="left", pad=6)
        else:
            axes.imshow(to_rgb(image), interpolation=_interpolation(image, height))
    return _render(figure, alt)


def curves(
    x: Sequence[float],
    lines: Mapping[str, Sequence[float]],
    *,
    alt: str,
    x_label: str,
    y_label: str,
    logarithmic_x: bool = False,
) -> Shown:
    """Show one or several curves over the same x, named at the side.

    Args:
        x: positions, increasing.
        lines: name to values, as many as `x`.
        alt: what a reader who cannot see the figure should know.
        x_label: quantity and unit of x.
        y_label: quantity and unit of the values.
        logarithmic_x: equal ratios of x get equal widths.

    Raises:
        ValueError: no curves, no alt text, or a curve of another length than `x`.
    """
    _check_content(lines, "curve", alt)
    for name, values in lines.items():
        if len(values) != len(x):
            raise ValueError(
                f"curve {name!r}: expected as many values as positions, got {len(values)} values "
                f"for {len(x)} positions"
            )
    figure = _figure(700, 300)
    axes = figure.add_axes((0.09, 0.17, 0.62, 0.76))
    for name, values in lines.items():
        axes.plot(x, values, label=name, linewidth=2)
    if logarithmic_x:
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
    axes.set_xlabel(x_label, fontdict=FONT)
    axes.set_ylabel(y_label, fontdict=FONT)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=9)
    return _render(figure, alt)


def bars(
    values: Mapping[str, float],
    *,
    alt: str,
    x_label: str,
    mark: float | None = None,
    logarithmic_x: bool = False,
) -> Shown:
    """Show numbers as horizontal bars, the first on top.

    Args:
        values: name to number, not negative; positive if `logarithmic_x`.
        alt: what a reader who cannot see the figure should know.
        x_label: quantity and unit of the numbers.
        mark: where a dashed line goes, such as a limit.
        logarithmic_x: equal ratios get equal lengths.

    Raises:
        ValueError: no numbers, or no alt text.
    """
    _check_content(values, "bar", alt)
    figure = _figure(700, 80 + 30 * len(values))
    axes = figure.add_subplot()
    axes.barh(list(values), list(values.values()), height=0.6)
    if logarithmic_x:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(matplotlib.ticker.StrMethodFormatter("{x:g}"))
        axes.xaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
    if mark is not None:
        axes.axvline(mark, color="black", linestyle="--")
    axes.invert_yaxis()
    axes.set_xlabel(x_label, fontdict=FONT)
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    return _render(figure, alt)


def _check_content(content: Mapping[str, object], kind: str, alt: str) -> None:
    if not content or not alt.strip():
        raise ValueError(
            f"expected at least one {kind} and an alt text, got {len(content)} and {alt!r}; "
            "describe what the figure shows"
        )


def _figure(width: int, height: int) -> Figure:
    figure = Figure(figsize=(width / DOTS_PER_INCH, height / DOTS_PER_INCH), dpi=DOTS_PER_INCH)
    FigureCanvasAgg(figure)
    return figure


def _axes(figure: Figure, total: tuple[int, int], *box: int) -> matplotlib.axes.Axes:
    left, bottom, width, height = box
    return figure.add_axes(
        (left / total[0], bottom / total[1], width / total[0], height / total[1])
    )


def _is_map(image: NDArray) -> bool:
    return np.issubdtype(image.dtype, np.floating)


def _picture_width(image: NDArray, height: int) -> int:
    return round(image.shape[1] * height / image.shape[0])


def _panel_width(image: NDArray, height: int) -> int:
    scale_width = 6 + BAR_WIDTH + BAR_LABELS if _is_map(image) else 0
    return _picture_width(image, height) + scale_width


def _interpolation(image: NDArray, height: int) -> str:
    # Enlarged, the pixels of a control image are to be seen; made smaller, they are averaged.
    return "nearest" if height >= image.shape[0] else "antialiased"


def _render(figure: Figure, alt: str) -> Shown:
    figure.canvas.draw()
    picture = PIL.Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert("RGB")
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    if buffer.tell() > LARGEST_PNG:
        buffer = io.BytesIO()
        picture.save(buffer, format="JPEG", quality=80, subsampling=0)
        return Shown(buffer.getvalue(), "image/jpeg", alt)
    return Shown(buffer.getvalue(), "image/png", alt)
