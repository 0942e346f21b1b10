"""Does a picture obey its caption? python -m toybox.colours [--scenes 256] [--condition seg]

Pictures are generated from the captions and control images of held-out scenes, and every object,
the wall and the floor is asked for its colour, in the region where the scene has it.

A region is described by six numbers: mean and standard deviation of its pixels in CIE Lab, whose
distances are about those that people see. It is called what the nearest of many examples is
called. The examples are the same thing in photos of other scenes: a figure is compared with
figures, so the rule need not know that only their clothes have the colour, and a house with
houses, whatever the colour of roof and door. The standard deviation tells a checkered floor from
a plain one of the colour in between.

Something is always named, and where one is right by chance depends on how many names there are:
10 for most things, 8 for walls, 5 for trees. A picture whose light has a tint of its own fails,
as it should: a cream wall under blue light looks like a grey one.
"""

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from helpers.catalogue import CONDITIONS
from helpers.images import Picture
from helpers.pipelines import load_pipeline
from helpers.runtime import default_device
from helpers.weights import TOYBOX_WEIGHTS, verify_weights
from toybox.autoencoder import reconstruct
from toybox.data import HELD_OUT_SEEDS, SIZE
from toybox.scoreboard import RESULTS, draw_in_batches, true_controls
from toybox.world import ADE20K, COLOURS, KINDS, Scene, Views, render, sample_scene

RESULT = RESULTS / "colours.json"
EXAMPLES = 4
"""Wanted of each name of each thing; scenes that show nothing rarer are not drawn."""

LEAST_PIXELS = 100
"""Smaller regions keep their outermost pixels, whose colours are mixed."""

NOTHING = 30
"""Pixels of a region that is not worth a look: a rug that hides behind the toys."""

MISTAKES = 20
"""Kinds of mistakes that are listed, the most frequent first."""

BATCH = 64
"""Scenes drawn at a time, and pictures generated at a time on a GPU."""

ROWS = ("objects", "wall", "floor", "rug", "floor_kind")
"""The shares that are printed."""


@dataclass(frozen=True)
class Region:
    """A part of a picture that has a named colour."""

    thing: str
    """A kind of toy, "wall", "floor" or "rug"."""
    name: str
    """Its colour; of a floor colour and kind, such as "red tiled", or "wooden"."""
    mask: NDArray[np.bool_]
    """Shape (H, W)."""


References = dict[str, tuple[list[str], NDArray[np.float32]]]
"""For each thing the names of N examples and what they look like, (N, 6)."""


def find_regions(scene: Scene, labels: NDArray, instances: NDArray) -> list[Region]:
    """Return what the caption names, where the scene has it.

    Args:
        scene: what the caption says.
        labels: ADE20K classes, (H, W).
        instances: numbers of the objects, (H, W), as in `Views`.
    """
    masks = [(o.kind, o.colour, instances == o.instance) for o in scene.objects]
    masks += [(thing, name, labels == ADE20K[thing]) for thing, name in name_surfaces(scene)]
    return [Region(t, name, _shrink(mask)) for t, name, mask in masks if mask.sum() >= NOTHING]


def name_surfaces(scene: Scene) -> list[tuple[str, str]]:
    """Return (thing, name) of the room."""
    room = scene.room
    wall = ("wall", room.wall_colour)
    if room.floor != "wooden":
        return [wall, ("floor", f"{room.floor_colour} {room.floor}")]
    rug = [("rug", room.floor_colour)] if room.floor_colour else []
    return [wall, ("floor", "wooden"), *rug]


def _shrink(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    inner = cv2.erode(mask.astype(np.uint8), np.ones((3, 3))) > 0
    return inner if inner.sum() >= LEAST_PIXELS else mask


def look(picture: Picture, mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return mean and standard deviation of L, a and b in a region, (6,)."""
    pixels = picture[mask][None].astype(np.float32) / 255
    lab = cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB)[0]
    return np.concatenate([lab.mean(axis=0), lab.std(axis=0)])


def choose_scenes(seeds: Sequence[int], examples: int) -> list[Scene]:
    """Return the scenes that show something of which there were fewer than `examples` before."""
    chosen, seen = [], Counter()
    for scene in map(sample_scene, seeds):
        shown = [(o.kind, o.colour) for o in scene.objects] + name_surfaces(scene)
        if any(seen[one] < examples for one in shown):
            chosen.append(scene)
            seen.update(shown)
    return chosen


def make_references(
    seeds: Sequence[int] = HELD_OUT_SEEDS["colour examples"],
    *,
    examples: int = EXAMPLES,
    size: int = SIZE,
) -> References:
    """Draw scenes and note what their things look like: some 300 scenes with the defaults."""
    chosen, found = choose_scenes(seeds, examples), defaultdict(list)
    for start in tqdm(range(0, len(chosen), BATCH), desc="references", leave=False):
        scenes = chosen[start : start + BATCH]
        views = render(scenes, size=size, lines=False, device=default_device())
        photos = views.photo.cpu().numpy()
        for photo, regions in zip(photos, regions_of(scenes, views), strict=True):
            for region in regions:
                found[region.thing].append((region.name, look(photo, region.mask)))
    return {
        thing: ([name for name, _ in pairs], np.stack([one for _, one in pairs]))
        for thing, pairs in found.items()
    }


def regions_of(scenes: Sequence[Scene], views: Views) -> list[list[Region]]:
    """Return the regions of each scene, of which `views` are the views."""
    labels, instances = views.labels.cpu().numpy(), views.instances.cpu().numpy()
    return [find_regions(*one) for one in zip(scenes, labels, instances, strict=True)]


def name_colour(references: References, picture: Picture, region: Region) -> str:
    """Return what the nearest example of the region's thing is called."""
    names, looks = references[region.thing]
    distances = np.linalg.norm(looks - look(picture, region.mask), axis=1)
    return names[distances.argmin()]


def score(
    references: References, pictures: Sequence[Picture], regions: Sequence[Sequence[Region]]
) -> dict:
    """Return the shares of the regions that have the colours that they should have.

    Of a floor only the colour counts; its kind has a share of its own.
    """
    verdicts = [
        (region.thing, region.name, name_colour(references, picture, region))
        for picture, its_regions in zip(pictures, regions, strict=True)
        for region in its_regions
    ]
    toys = [one for one in verdicts if one[0] in KINDS]
    mistakes = Counter(f"{w} {thing} called {f}" for thing, w, f in verdicts if w != f)
    surfaces = {
        surface: [(w.split(), f.split()) for thing, w, f in verdicts if thing == surface]
        for surface in ("wall", "floor", "rug")
    }
    return {
        "objects": _share([(w, f) for _, w, f in toys]),
        **{
            surface: _share([(w[0], f[0]) for w, f in pairs]) for surface, pairs in surfaces.items()
        },
        "floor_kind": _share([(w[-1], f[-1]) for w, f in surfaces["floor"]]),
        "objects_by_kind": {
            kind: _share([(w, f) for thing, w, f in toys if thing == kind]) for kind in KINDS
        },
        "objects_by_colour": {
            colour: _share([(w, f) for _, w, f in toys if w == colour]) for colour in COLOURS
        },
        "mistakes": dict(mistakes.most_common(MISTAKES)),
    }


def _share(pairs: Sequence[tuple[str, str]]) -> dict[str, float | int | None]:
    right = sum(wanted == found for wanted, found in pairs)
    return {"share": round(right / len(pairs), 4) if pairs else None, "of": len(pairs)}


def measure(
    references: References, condition: str, *, scenes: int, folder: Path = TOYBOX_WEIGHTS
) -> dict:
    """Return the scores of pictures, of true photos, and of photos through the autoencoder.

    The last two are ceilings: what the measure itself gets wrong, and what the autoencoder costs.
    """
    pipeline = load_pipeline(condition, dtype=torch.float32, folder=folder)
    pipeline.set_progress_bar_config(disable=True)
    held_out = [sample_scene(seed) for seed in HELD_OUT_SEEDS["colours"][:scenes]]
    views = render(held_out, size=SIZE, device=default_device())
    controls = true_controls(condition, views, folder=folder)
    photos, regions = views.photo.cpu().numpy(), regions_of(held_out, views)
    batch = BATCH if pipeline.device.type == "cuda" else 8
    captions = [scene.caption for scene in held_out]
    pictures = draw_in_batches(pipeline, captions, controls, batch=batch)
    return {
        "condition": condition,
        "scenes": scenes,
        "pictures": score(references, pictures, regions),
        "photos_through_autoencoder": score(references, reconstruct(pipeline.vae, photos), regions),
        "photos": score(references, photos, regions),
    }


def main() -> None:
    """Measure, print the main shares, and write all of them to toybox/scores/colours.json."""
    parser = argparse.ArgumentParser(description=__doc__.partition(" python")[0])
    parser.add_argument("--scenes", type=int, default=256)
    parser.add_argument("--condition", choices=list(CONDITIONS), default="seg")
    parser.add_argument("--weights", type=Path, default=TOYBOX_WEIGHTS)
    options = parser.parse_args()
    # At once, not after a minute of examples.
    verify_weights("base", f"controlnet/{options.condition}", folder=options.weights)
    scores = measure(
        make_references(), options.condition, scenes=options.scenes, folder=options.weights
    )
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(scores, indent=2) + "\n")
    for name in ("pictures", "photos_through_autoencoder", "photos"):
        shares = (f"{row} {scores[name][row]['share']}" for row in ROWS)
        print(f"{name:27}", ", ".join(shares))


if __name__ == "__main__":
    main()
