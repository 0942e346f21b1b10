"""A small world of toys whose every truth is known: scenes, photos, captions, ground truth.

from toybox.world import render, sample_scene

scene = sample_scene(0)
print(scene.caption)
views = render(scene)
"""

from toybox.world.captions import COLOURS, KINDS, VOCABULARY, read_caption, repaint, split_words
from toybox.world.figure import JOINTS
from toybox.world.render import Views, render
from toybox.world.scene import Scene, sample_scene
from toybox.world.toys import ADE20K

__all__ = [
    "ADE20K",
    "COLOURS",
    "JOINTS",
    "KINDS",
    "VOCABULARY",
    "Scene",
    "Views",
    "read_caption",
    "render",
    "repaint",
    "sample_scene",
    "split_words",
]
