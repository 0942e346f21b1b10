"""Measure how well the toybox follows its controls: python -m toybox.scoreboard [CONDITION ...]

For each condition, pictures of held-out scenes are drawn from their caption and their true control
image, the annotator reads them, and `helpers.scores` compares what it finds with what was wanted.
Beside the score stand

no control   the same captions and seeds with the control scaled to 0
foreign      the picture that was drawn from the control image of the next scene
ceiling      the true photo, sent through the autoencoder: what a perfect sample would reach

and the gap closed = (score - foreign) / (ceiling - foreign) with a bootstrap interval. The numbers
of every scene go to toybox/scores/CONDITION.json, and the table into README.md. Two CPU cores take
some twenty minutes a condition, a GPU takes less than one.
"""

import argparse
import json
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionControlNetPipeline
from numpy.typing import NDArray

from helpers.annotators import STROKE, Annotator, draw_control, load_annotator
from helpers.catalogue import CONDITIONS, get_condition
from helpers.conditions.normal import decode_normals, normal_map
from helpers.images import Picture
from helpers.pipelines import generate, load_pipeline
from helpers.runtime import default_device
from helpers.scores import SCORES, GapClosed, gap_closed
from helpers.weights import TOYBOX_WEIGHTS
from toybox.autoencoder import reconstruct
from toybox.data import DEPTH_UNIT, HELD_OUT_SEEDS, SIZE
from toybox.tables import replace_between, update
from toybox.world import Scene, Views, render, sample_scene

RESULTS = Path(__file__).resolve().parent / "scores"
README = Path(__file__).resolve().parents[1] / "README.md"
BEGIN, END = "<!-- scores: made by python -m toybox.scoreboard -->\n", "<!-- /scores -->\n"

SCENES = 128
READ_OFF_THE_PHOTO = ("canny", "hed")
"""Conditions whose truth is what their annotator makes of the photo."""

ROWS = ("score", "no_control", "foreign", "ceiling")


def held_out_scenes(condition: str, number: int) -> list[Scene]:
    """Return the first held-out scenes; for openpose, those with a figure that can be seen."""
    scenes = (sample_scene(seed) for seed in HELD_OUT_SEEDS["scores"])
    if condition == "openpose":
        scenes = (scene for scene in scenes if _has_visible_figure(scene))
    return list(islice(scenes, number))


def _has_visible_figure(scene: Scene) -> bool:
    if not any(one.kind == "figure" for one in scene.objects):
        return False
    # Two joints are the least that has a size, which the score needs.
    views = render(scene, size=SIZE, lines=False, device=default_device())
    return bool((views.joints_visible.sum(dim=-1) >= 2).any())


def true_measurement(
    condition: str, views: Views, number: int, annotator: Annotator | None
) -> NDArray:
    """Return what a perfect annotator would read off a photo of the world.

    Canny edges and soft edges are what their annotator makes of the photo: there is no other
    truth. Normals are those of the recipe, from the true depth.
    """
    if condition in READ_OFF_THE_PHOTO:
        return annotator(views.photo[number].cpu().numpy())
    if condition == "scribble":
        edges = views.edges[number].float()[None, None]
        thick = torch.nn.functional.max_pool2d(edges, STROKE, stride=1, padding=STROKE // 2)
        return thick[0, 0].bool().cpu().numpy()
    if condition == "depth":
        return 1 / views.depth[number].cpu().numpy()
    if condition == "normal":
        return decode_normals(normal_map(DEPTH_UNIT / views.depth[number].cpu().numpy()))
    if condition == "mlsd":
        return views.lines[number].cpu().numpy()
    if condition == "openpose":
        joints = views.joints[number].clone()
        joints[~views.joints_visible[number]] = torch.nan
        return joints.cpu().numpy()
    return views.labels[number].byte().cpu().numpy()


def true_controls(
    condition: str, views: Views, *, folder: Path = TOYBOX_WEIGHTS
) -> list[NDArray[np.uint8]]:
    """Return the control image of each view."""
    annotator = None
    if condition in READ_OFF_THE_PHOTO:
        annotator = load_annotator(condition, folder=folder)
    wanted = [true_measurement(condition, views, n, annotator) for n in range(len(views))]
    return [draw_control(condition, one, SIZE, SIZE) for one in wanted]


def measure(
    condition: str,
    *,
    scenes: int = SCENES,
    folder: Path = TOYBOX_WEIGHTS,
    steps: int = 20,
    batch: int = 8,
) -> dict:
    """Return the scores of a condition, for each scene, as the JSON file holds them."""
    if scenes < 2:
        raise ValueError(f"expected at least 2 scenes, got {scenes}; one is foreign to the other")
    pipeline = load_pipeline(condition, folder=folder, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    annotator = load_annotator(condition, folder=folder)
    chosen = held_out_scenes(condition, scenes)
    views = render(chosen, size=SIZE, device=pipeline.device)
    wanted = [true_measurement(condition, views, n, annotator) for n in range(scenes)]
    pictures = draw_rows(
        pipeline,
        [scene.caption for scene in chosen],
        [draw_control(condition, one, SIZE, SIZE) for one in wanted],
        views.photo.cpu().numpy(),
        steps=steps,
        batch=batch,
    )
    results = score_rows(condition, wanted, pictures, annotator)
    return {
        "condition": condition,
        "first_seed": HELD_OUT_SEEDS["scores"].start,
        "steps": steps,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU",
        "scenes": {
            row: {key: [_rounded(one[key]) for one in ones] for key in ones[0]}
            for row, ones in results.items()
        },
    }


def draw_rows(
    pipeline: StableDiffusionControlNetPipeline,
    captions: list[str],
    controls: list[Picture],
    photos: NDArray[np.uint8],
    *,
    steps: int = 20,
    batch: int = 8,
) -> dict[str, list[Picture]]:
    """Draw what a score is compared with: for each of `ROWS` one picture a scene.

    Args:
        pipeline: with the ControlNet of the condition.
        captions: of at least two scenes; a picture is foreign to the next one.
        controls: the control image of each scene.
        photos: the true photo of each scene, (N, H, W, 3).
        steps: of the sampler.
        batch: pictures drawn at a time.
    """

    def draw(scale: float) -> list[Picture]:
        return draw_in_batches(
            pipeline, captions, controls, conditioning_scale=scale, steps=steps, batch=batch
        )

    drawn = draw(1.0)
    return {
        "score": drawn,
        "no_control": draw(0.0),
        "foreign": drawn[1:] + drawn[:1],
        "ceiling": list(reconstruct(pipeline.vae, photos)),
    }


def score_rows(
    condition: str,
    wanted: list[NDArray],
    pictures: dict[str, list[Picture]],
    annotator: Annotator,
) -> dict[str, list[dict[str, float]]]:
    """Return the scores of each picture of `draw_rows` against what was wanted of its scene."""
    measured = SCORES[condition].measure
    # The foreign pictures are those of the score in another order: each is read once.
    different = {id(picture): picture for drawn in pictures.values() for picture in drawn}
    found = {key: annotator(picture) for key, picture in different.items()}
    return {
        row: [measured(w, found[id(picture)]) for w, picture in zip(wanted, drawn, strict=True)]
        for row, drawn in pictures.items()
    }


def _rounded(number: float) -> float | None:
    """JSON has no NaN, which says that there was nothing to measure."""
    return None if np.isnan(number) else round(number, 5)


def draw_in_batches(
    pipeline: StableDiffusionControlNetPipeline,
    captions: list[str],
    images: list[NDArray[np.uint8]],
    *,
    batch: int,
    **options: float,
) -> list[NDArray[np.uint8]]:
    """Draw a picture for each caption and control image, seeds 0, 1, 2, ..."""
    pictures = []
    for start in range(0, len(captions), batch):
        part = slice(start, start + batch)
        seeds = list(range(start, start + len(captions[part])))
        result = generate(pipeline, captions[part], images[part], seed=seeds, **options)
        pictures += result.pictures
    return pictures


def read_result(condition: str, folder: Path = RESULTS) -> dict:
    """Return the measured scores of a condition, as `measure` returned them."""
    return json.loads((folder / f"{condition}.json").read_text(encoding="utf-8"))


def closed(result: dict) -> GapClosed:
    """Return the gap that the headline score of a result closes."""
    key = SCORES[result["condition"]].headline
    scenes = {row: np.array(result["scenes"][row][key], float) for row in ROWS}
    return gap_closed(scenes["score"], scenes["foreign"], scenes["ceiling"])


def means(result: dict) -> dict[str, float]:
    """Return the mean headline score of each row of a result."""
    key = SCORES[result["condition"]].headline
    return {row: float(np.nanmean(np.array(result["scenes"][row][key], float))) for row in ROWS}


def table(folder: Path = RESULTS) -> str:
    """Return the scoreboard as Markdown, from the JSON files."""
    lines = [
        "| condition | score | no control | foreign | with control | ceiling | gap closed |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in CONDITIONS:
        result = read_result(name, folder)
        score, gap = SCORES[name], closed(result)
        digits = 1 if score.unit == "degrees" else 3
        mean = {row: f"{number:.{digits}f}" for row, number in means(result).items()}
        arrow = "↑" if score.better == "higher" else "↓"
        lines.append(
            f"| {name} | {score.name} {arrow} | {mean['no_control']} | {mean['foreign']} "
            f"| **{mean['score']}** | {mean['ceiling']} "
            f"| **{gap.share:.2f}** ({gap.low:.2f} to {gap.high:.2f}) |"
        )
    return "\n".join(lines) + "\n"


def with_table(readme: str, folder: Path = RESULTS) -> str:
    """Return the text of README.md with its scoreboard replaced."""
    return replace_between(readme, BEGIN, END, table(folder))


def main() -> None:
    """Measure the named conditions, all if none is named, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("conditions", nargs="*", default=list(CONDITIONS))
    parser.add_argument("--scenes", type=int, default=SCENES)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--weights", type=Path, default=TOYBOX_WEIGHTS)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for name in [get_condition(name).name for name in options.conditions]:
        result = measure(
            name,
            scenes=options.scenes,
            folder=options.weights,
            steps=options.steps,
            batch=options.batch,
        )
        (options.out / f"{name}.json").write_text(json.dumps(result) + "\n", encoding="utf-8")
        gap = closed(result)
        print(f"{name}: gap closed {gap.share:.3f} ({gap.low:.3f} to {gap.high:.3f})", flush=True)
    missing = [name for name in CONDITIONS if not (RESULTS / f"{name}.json").is_file()]
    if options.out == RESULTS and not missing:
        update(README, BEGIN, END, table())
    elif missing:
        print(f"README.md gets its table when {', '.join(missing)} are measured too")


if __name__ == "__main__":
    main()
