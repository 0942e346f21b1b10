"""Make the pictures of the front page: python -m toybox.gallery

images/world_sheet.png shows 64 photos; images/world_truth.png shows a few of them with every
control image that needs no network. Depth, lines, normals, pose and labels are the exact truth;
Canny edges and strokes are computed from the photo.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from helpers.conditions.canny import canny_edges
from helpers.conditions.depth import depth_image
from helpers.conditions.mlsd import draw_lines
from helpers.conditions.normal import encode_normals
from helpers.conditions.openpose import draw_skeleton
from helpers.conditions.scribble import scribble
from helpers.conditions.seg import labels_to_colours
from toybox.world import Views, render, sample_scene

IMAGES = Path(__file__).resolve().parents[1] / "images"
HEADER_HEIGHT = 30
GAP = 4


def photo_sheet(*, rows: int = 8, columns: int = 8, size: int = 160) -> Image.Image:
    """Return the photos of the first rows x columns scenes, side by side."""
    scenes = [sample_scene(seed) for seed in range(rows * columns)]
    photos = render(scenes, size=size, lines=False).photo.numpy()
    return Image.fromarray(tile(photos.reshape(rows, columns, size, size, 3)))


def truth_sheet(*, seeds: tuple[int, ...] = (10, 23, 5, 11), size: int = 256) -> Image.Image:
    """Return a row for each scene, photo and control images, under the names of the columns."""
    views = render([sample_scene(seed) for seed in seeds], size=size)
    rows = [control_images(views, number) for number in range(len(seeds))]
    tiles = tile(np.array([list(row.values()) for row in rows]), gap=GAP)
    sheet = Image.new("RGB", (tiles.shape[1], tiles.shape[0] + HEADER_HEIGHT), "white")
    sheet.paste(Image.fromarray(tiles), (0, HEADER_HEIGHT))
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=18)
    for column, name in enumerate(rows[0]):
        middle = column * (size + GAP) + size // 2
        draw.text((middle, HEADER_HEIGHT // 2), name, fill="black", font=font, anchor="mm")
    return sheet


def control_images(views: Views, number: int) -> dict[str, NDArray[np.uint8]]:
    """Return the photo of one view and every control image that needs no network, by name."""
    photo = views.photo[number].numpy()
    height, width = photo.shape[:2]
    joints = views.joints[number].numpy().copy()
    joints[~views.joints_visible[number].numpy()] = np.nan
    return {
        "photo": photo,
        "canny": canny_edges(photo),
        "depth": depth_image(1 / views.depth[number].numpy()),
        "mlsd": draw_lines(views.lines[number].numpy(), height, width),
        "normal": encode_normals(views.normals[number].numpy()),
        "openpose": draw_skeleton(joints, height, width),
        "scribble": scribble(photo, sigma=1.5),
        "seg": labels_to_colours(views.labels[number].numpy()),
    }


def tile(pictures: NDArray[np.uint8], *, gap: int = 0) -> NDArray[np.uint8]:
    """Join pictures (rows, columns, height, width, 3), with white gaps between them."""
    padded = np.pad(pictures, ((0, 0), (0, 0), (0, gap), (0, gap), (0, 0)), constant_values=255)
    rows, columns, height, width, _ = padded.shape
    joined = padded.swapaxes(1, 2).reshape(rows * height, columns * width, 3)
    return joined[: rows * height - gap, : columns * width - gap]


def main() -> None:
    """Write both pictures to images/."""
    photo_sheet().save(IMAGES / "world_sheet.png", optimize=True)
    truth_sheet().save(IMAGES / "world_truth.png", optimize=True)


if __name__ == "__main__":
    main()
