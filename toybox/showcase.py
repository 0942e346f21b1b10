"""Draw what the toybox can do: python -m toybox.showcase

images/toybox_conditions.jpg has a row for each condition, and in it six held-out scenes: the
photo, its true control image, and the picture that was drawn from caption and control image.
images/toybox_captions.jpg keeps the control image and changes the caption: one geometry, six
scenes. images/strip_CONDITION.jpg opens a notebook: photo, control image, the picture drawn from
them, and one from a caption with other colours.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from helpers.catalogue import CONDITIONS
from helpers.images import Picture
from helpers.pipelines import load_pipeline
from helpers.weights import TOYBOX_WEIGHTS
from toybox.data import SIZE
from toybox.gallery import GAP, IMAGES, tile
from toybox.scoreboard import draw_in_batches, held_out_scenes, true_controls
from toybox.world import render, repaint

SCENES = 6
CAPTIONED = ("canny", "depth", "openpose")
"""The conditions of the second picture."""

STRIP_SCENE = 1
"""Which of the held-out scenes with a figure the strips show."""

_TILE = 144  # pixels of a picture on the sheets
_NAMES = 112  # pixels for the names at the left
_JPEG = {"quality": 92, "subsampling": 0}


def conditions_sheet(folder: Path = TOYBOX_WEIGHTS, *, steps: int = 20) -> Image.Image:
    """Return photo, control image and picture of six scenes for each condition."""
    scenes = held_out_scenes("openpose", SCENES)
    views = render(scenes, size=SIZE)
    photos = list(views.photo.numpy())
    rows = []
    for name in CONDITIONS:
        controls = true_controls(name, views, folder=folder)
        pictures = _draw(name, controls, [scene.caption for scene in scenes], folder, steps)
        triples = zip(photos, controls, pictures, strict=True)
        rows.append([picture for triple in triples for picture in triple])
    return _sheet(rows, list(CONDITIONS))


def captions_sheet(folder: Path = TOYBOX_WEIGHTS, *, steps: int = 20) -> Image.Image:
    """Return a control image and six pictures of it, each from another caption, for CAPTIONED."""
    (scene,) = held_out_scenes("openpose", 1)
    views = render(scene, size=SIZE)
    captions = [repaint(scene.meaning, number) for number in range(SCENES)]
    rows = []
    for name in CAPTIONED:
        (control,) = true_controls(name, views, folder=folder)
        rows.append([control, *_draw(name, [control] * SCENES, captions, folder, steps)])
    return _sheet(rows, list(CAPTIONED))


def strip(name: str, folder: Path = TOYBOX_WEIGHTS, *, steps: int = 20) -> Image.Image:
    """Return photo, control image and two pictures of one scene, side by side."""
    scene = held_out_scenes("openpose", STRIP_SCENE + 1)[STRIP_SCENE]
    views = render(scene, size=SIZE)
    (control,) = true_controls(name, views, folder=folder)
    captions = [repaint(scene.meaning, number) for number in (0, 1)]
    pictures = _draw(name, [control] * 2, captions, folder, steps)
    row = [views.photo[0].numpy(), control, *pictures]
    return Image.fromarray(tile(np.array([row]), gap=GAP))


def _draw(
    name: str, controls: list[Picture], captions: list[str], folder: Path, steps: int
) -> list[NDArray[np.uint8]]:
    pipeline = load_pipeline(name, folder=folder)
    pipeline.set_progress_bar_config(disable=True)
    return draw_in_batches(pipeline, captions, controls, batch=SCENES, steps=steps)


def _sheet(rows: list[list[Picture]], names: list[str]) -> Image.Image:
    """Return rows of pictures with their names at the left."""
    small = [
        [
            np.asarray(Image.fromarray(p).resize((_TILE, _TILE), Image.Resampling.LANCZOS))
            for p in row
        ]
        for row in rows
    ]
    tiles = tile(np.array(small), gap=GAP)
    sheet = Image.new("RGB", (tiles.shape[1] + _NAMES, tiles.shape[0]), "white")
    sheet.paste(Image.fromarray(tiles), (_NAMES, 0))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=20)
    for row, name in enumerate(names):
        middle = row * (_TILE + GAP) + _TILE // 2
        draw.text((_NAMES - 10, middle), name, fill="black", font=font, anchor="rm")
    return sheet


def main() -> None:
    """Write all pictures to images/."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, default=TOYBOX_WEIGHTS)
    parser.add_argument("--out", type=Path, default=IMAGES)
    parser.add_argument("--steps", type=int, default=20)
    options = parser.parse_args()
    for name, make in (("conditions", conditions_sheet), ("captions", captions_sheet)):
        sheet = make(options.weights, steps=options.steps)
        sheet.save(options.out / f"toybox_{name}.jpg", **_JPEG)
    for name in CONDITIONS:
        strip(name, options.weights, steps=options.steps).save(
            options.out / f"strip_{name}.jpg", **_JPEG
        )


if __name__ == "__main__":
    main()
