"""What goes wrong with control images, and how the pixels give it away.

A ControlNet never complains. Given an inverted edge map, a BGR skeleton or a JPEG of a label map,
it makes a picture, only not the one that was asked for. Each check below looks for one such
fault by one simple number, and says what to do. `helpers.images.check_control` runs them.

A check returns None, or what it found together with the picture as it would be without the
fault. The checks after it look at that repaired picture, so that one cause gives one finding:
an inverted edge map is not also "too thick". Where nothing can be repaired the search ends.

The limits were chosen on control images of 18 photographs, of synthetic depth and of drawn
skeletons; the comments give the range of the measured numbers on good pictures and on bad ones.
"""

from helpers.faults.finding import Check
from helpers.faults.labels import find_label_indices, find_label_order, find_off_palette
from helpers.faults.lines import (
    find_colour,
    find_hard_edges,
    find_inverted_lines,
    find_photo_for_lines,
    find_shades,
    find_thick_lines,
)
from helpers.faults.skeletons import (
    find_foreign_limbs,
    find_limb_order,
    find_mixed_limbs,
    find_rings_around_skeleton,
    find_wrong_ground,
)
from helpers.faults.surfaces import (
    find_axis_sign,
    find_black_background,
    find_facing_away,
    find_few_levels,
    find_inverted_depth,
    find_low_contrast,
    find_normal_order,
    find_photo_for_depth,
    find_photo_for_normals,
    find_wrong_lengths,
)
from helpers.faults.whole import find_border, find_uniform

_ANY: tuple[Check, ...] = (find_border, find_uniform)
_LINES: tuple[Check, ...] = (*_ANY, find_photo_for_lines, find_inverted_lines, find_colour)

CHECKS: dict[str, tuple[Check, ...]] = {
    "lines": (*_LINES, find_shades, find_thick_lines),
    "soft lines": (*_LINES, find_hard_edges),
    "depth": (
        *_ANY,
        find_photo_for_depth,
        find_few_levels,
        find_low_contrast,
        find_inverted_depth,
    ),
    "normals": (
        *_ANY,
        find_photo_for_normals,
        find_black_background,
        find_normal_order,
        find_facing_away,
        find_wrong_lengths,
        find_axis_sign,
    ),
    "skeleton": (
        *_ANY,
        find_wrong_ground,
        find_rings_around_skeleton,
        find_mixed_limbs,
        find_foreign_limbs,
        find_limb_order,
    ),
    "labels": (*_ANY, find_label_indices, find_label_order, find_off_palette),
}
"""The checks of each kind of control image, in the order in which they are run."""
