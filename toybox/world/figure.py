"""An articulated figure: a pose is 18 joints, and the body is built around them.

The figure stands in its own frame: it looks along +z, y is up, and its left side is +x. Angles are
in degrees.
"""

import math
from dataclasses import dataclass, field, replace
from random import Random

import numpy as np

from toybox.world.shapes import Array, Paint, Solids, cross

JOINTS = (
    *("nose", "neck", "right shoulder", "right elbow", "right wrist"),
    *("left shoulder", "left elbow", "left wrist", "right hip", "right knee", "right ankle"),
    *("left hip", "left knee", "left ankle", "right eye", "left eye", "right ear", "left ear"),
)
"""The 18 joints in the order of OpenPose; right is the person's right."""

(NOSE, NECK, R_SHOULDER, R_ELBOW, R_WRIST, L_SHOULDER, L_ELBOW, L_WRIST, R_HIP) = range(9)
(R_KNEE, R_ANKLE, L_HIP, L_KNEE, L_ANKLE, R_EYE, L_EYE, R_EAR, L_EAR) = range(9, 18)

MAX_PEOPLE = 2
"""No scene has more figures."""

JOINT_RADII = np.full(18, 0.09)
"""How deep a joint lies under the skin at most, in m; a surface much nearer hides the joint."""
JOINT_RADII[[NECK, R_SHOULDER, L_SHOULDER, R_HIP, L_HIP]] = 0.15
JOINT_RADII[[NOSE, R_EYE, L_EYE]] = 0.05
JOINT_RADII[[R_EAR, L_EAR]] = 0.07

SKINS = ((0.98, 0.80, 0.66), (0.93, 0.70, 0.52), (0.76, 0.53, 0.36), (0.52, 0.34, 0.23))
HAIRS = ((0.13, 0.09, 0.07), (0.36, 0.20, 0.10), (0.62, 0.36, 0.14), (0.90, 0.72, 0.34))

_UPPER_ARM, _FOREARM, _THIGH, _SHIN = 0.205, 0.195, 0.27, 0.26
_SHOULDER, _HIP, _SPINE, _HEAD = 0.162, 0.075, 0.40, 0.175  # half widths and lengths in m
_SHOE = (0.052, 0.043, 0.092)


@dataclass
class Arm:
    """Angles of one arm: `out` to the side, `forward`, `bend` of the elbow, `twist` of its plane.

    With twist 0 the forearm bends forward; with 90 it bends up when the arm points sideways.
    """

    out: float = 12
    forward: float = 0
    bend: float = 15
    twist: float = 0


@dataclass
class Leg:
    """Angles of one leg: `out` to the side, `forward`, `bend` of the knee."""

    out: float = 4
    forward: float = 0
    bend: float = 2


@dataclass
class Pose:
    """Angles of the whole body."""

    right_arm: Arm = field(default_factory=Arm)
    left_arm: Arm = field(default_factory=Arm)
    right_leg: Leg = field(default_factory=Leg)
    left_leg: Leg = field(default_factory=Leg)
    lean: float = 0
    tilt: float = 0
    look: tuple[float, float, float] = (0, 0, 0)
    """Head: turned to its left, nodding down, tilted to its left."""


def rotation(axis: str, degrees: float) -> Array:
    """Return the matrix of a right-handed turn about "x", "y" or "z"."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    if axis == "x":
        return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    if axis == "y":
        return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def sample_pose(random: Random) -> Pose:
    """Draw a natural pose: one of the families below, with every angle varied."""
    families = (_stand, _walk, _run, _wave, _cheer, _akimbo, _point, _star, _kick, _reach)
    pose = random.choices(families, (4, 4, 2, 4, 2, 2, 3, 2, 1, 2))[0](random)
    u = random.uniform
    for arm in (pose.right_arm, pose.left_arm):
        arm.out += u(-6, 6)
        arm.forward += u(-8, 8)
        arm.bend = max(0, arm.bend + u(-8, 8))
    pose.tilt += u(-4, 4)
    pose.look = (random.gauss(0, 18), u(-8, 10), u(-8, 8))
    return pose


def _mirrored(random: Random, pose: Pose) -> Pose:
    """Swap left and right half of the time."""
    if random.random() < 0.5:
        pose.right_arm, pose.left_arm = pose.left_arm, pose.right_arm
        pose.right_leg, pose.left_leg = pose.left_leg, pose.right_leg
    return pose


def _stand(random: Random) -> Pose:
    u = random.uniform
    bend = u(5, 35)
    return Pose(
        Arm(u(10, 25), u(-5, 10), bend),
        Arm(u(10, 25), u(-5, 10), bend),
        *(Leg(u(3, 8)), Leg(u(3, 8))),
    )


def _walk(random: Random) -> Pose:
    u = random.uniform
    stride, swing = u(16, 30), u(15, 40)
    return _mirrored(
        random,
        Pose(
            Arm(12, -swing, u(10, 30)),
            Arm(12, swing, u(15, 50)),
            Leg(3, stride, u(0, 10)),
            Leg(3, -stride, u(10, 30)),
            lean=u(0, 6),
        ),
    )


def _run(random: Random) -> Pose:
    u = random.uniform
    return _mirrored(
        random,
        Pose(
            Arm(14, u(-60, -35), u(70, 95)),
            Arm(14, u(30, 60), u(70, 100)),
            Leg(3, u(45, 70), u(60, 90)),
            Leg(3, u(-28, -15), u(5, 40)),
            lean=u(6, 14),
        ),
    )


def _wave(random: Random) -> Pose:
    u = random.uniform
    return _mirrored(
        random,
        Pose(
            Arm(u(70, 125), u(0, 10), u(35, 95), 90),
            Arm(u(12, 25), 0, u(5, 30)),
            *(Leg(u(3, 8)), Leg(u(3, 8))),
        ),
    )


def _cheer(random: Random) -> Pose:
    u = random.uniform
    out, bend = u(115, 155), u(5, 45)
    return Pose(
        Arm(out, 0, bend, 90), Arm(out, 0, bend, 90), Leg(u(4, 14)), Leg(u(4, 14)), lean=u(-6, 0)
    )


def _akimbo(random: Random) -> Pose:
    u = random.uniform
    both = Arm(u(46, 56), -8, u(98, 112), -78)
    one = replace(both) if random.random() < 0.6 else Arm(u(12, 25), 0, u(5, 30))
    return _mirrored(random, Pose(both, one, Leg(u(5, 14)), Leg(u(5, 14))))


def _point(random: Random) -> Pose:
    u = random.uniform
    sideways = Arm(u(75, 105), u(0, 20), u(0, 10), 90)
    ahead = Arm(u(5, 25), u(70, 95), u(0, 12))
    arm = sideways if random.random() < 0.6 else ahead
    return _mirrored(random, Pose(arm, Arm(u(12, 25), 0, u(5, 30)), Leg(u(3, 8)), Leg(u(3, 8))))


def _star(random: Random) -> Pose:
    u = random.uniform
    return Pose(
        *(Arm(u(75, 115), 0, u(0, 15), 90), Arm(u(75, 115), 0, u(0, 15), 90)),
        *(Leg(u(14, 26)), Leg(u(14, 26))),
    )


def _kick(random: Random) -> Pose:
    u = random.uniform
    return _mirrored(
        random,
        Pose(
            *(Arm(u(35, 70), 0, u(5, 25)), Arm(u(35, 70), 0, u(5, 25))),
            *(Leg(5, u(40, 75), u(0, 25)), Leg(4)),
            lean=u(-8, -2),
        ),
    )


def _reach(random: Random) -> Pose:
    u = random.uniform
    forward = u(60, 150)
    return Pose(
        *(Arm(u(6, 16), forward, u(5, 30)), Arm(u(6, 16), forward, u(5, 30))),
        *(Leg(u(3, 8)), Leg(u(3, 8))),
    )


def joints_of(pose: Pose) -> tuple[Array, Array]:
    """Place the joints of a pose so that the lowest point of the shoes is on the floor, y = 0.

    Returns:
        Joints (18, 3) in metres, and the orientation of the head (3, 3).
    """
    joints = np.zeros((18, 3))
    trunk = rotation("z", pose.tilt) @ rotation("x", pose.lean)
    joints[NECK] = trunk @ (0, _SPINE, 0)
    turn, nod, tip = pose.look
    head = trunk @ rotation("y", turn) @ rotation("z", -tip) @ rotation("x", nod)
    middle = joints[NECK] + head @ (0, _HEAD, 0.01)
    for joint, place in _FACE.items():
        joints[joint] = middle + head @ place
    for side, arm, leg, (shoulder, elbow, wrist, hip, knee, ankle) in (
        (-1, pose.right_arm, pose.right_leg, (2, 3, 4, 8, 9, 10)),
        (1, pose.left_arm, pose.left_leg, (5, 6, 7, 11, 12, 13)),
    ):
        joints[shoulder] = trunk @ (side * _SHOULDER, _SPINE - 0.035, 0)
        turned = trunk @ rotation("z", side * arm.out) @ rotation("x", -arm.forward)
        joints[elbow] = joints[shoulder] + turned @ (0, -_UPPER_ARM, 0)
        bent = turned @ rotation("y", side * arm.twist) @ rotation("x", -arm.bend)
        joints[wrist] = joints[elbow] + bent @ (0, -_FOREARM, 0)
        joints[hip] = (side * _HIP, 0, 0)
        turned = rotation("z", side * leg.out) @ rotation("x", -leg.forward)
        joints[knee] = joints[hip] + turned @ (0, -_THIGH, 0)
        bent = turned @ rotation("x", leg.bend)
        joints[ankle] = joints[knee] + bent @ (0, -_SHIN, 0)
    joints[:, 1] -= min(_lowest(joints[9], joints[10]), _lowest(joints[12], joints[13]))
    return joints, head


_FACE = {
    NOSE: (0, -0.005, 0.135),
    R_EYE: (-0.045, 0.03, 0.112),
    L_EYE: (0.045, 0.03, 0.112),
    R_EAR: (-0.122, 0.0, 0.0),
    L_EAR: (0.122, 0.0, 0.0),
}


def build_figure(
    solids: Solids, pose: Pose, *, shirt: Paint, trousers: Paint, skin: Paint, hair: Paint
) -> Array:
    """Add a body in the given pose to `solids`; returns its joints (18, 3) in metres."""
    joints, head = joints_of(pose)
    trunk = rotation("z", pose.tilt) @ rotation("x", pose.lean)
    hips = (joints[R_HIP] + joints[L_HIP]) / 2
    _add_trunk(solids, hips, trunk, shirt, trousers)
    solids.cone(joints[NECK] - trunk @ (0, 0.03, 0), 0.05, joints[NECK] + head @ (0, 0.1, 0),
                0.046, skin)  # fmt: skip
    _add_head(solids, joints[NECK] + head @ (0, _HEAD, 0.01), head, skin, hair)
    for shoulder, elbow, wrist in ((2, 3, 4), (5, 6, 7)):
        _add_arm(solids, joints[shoulder], joints[elbow], joints[wrist], shirt, skin)
    for hip, knee, ankle in ((8, 9, 10), (11, 12, 13)):
        _add_leg(solids, joints[hip], joints[knee], joints[ankle], trousers)
    return joints


def _add_trunk(solids: Solids, hips: Array, trunk: Array, shirt: Paint, trousers: Paint) -> None:
    solids.ellipsoid(hips + trunk @ (0, -0.01, 0), (0.125, 0.09, 0.088), trousers, rotation=trunk)
    hem, chest = hips, hips + trunk @ (0, 0.25, 0)
    solids.cone(hem, 0.145, chest, 0.145, shirt, flat=0.70, across=trunk[:, 0])
    solids.ellipsoid(chest, (0.145, 0.15, 0.7 * 0.145), shirt, rotation=trunk)


def _add_head(solids: Solids, middle: Array, head: Array, skin: Paint, hair: Paint) -> None:
    solids.ellipsoid(middle, (0.125, 0.135, 0.125), skin, rotation=head)
    crown = head @ rotation("x", -38)
    solids.ellipsoid(
        middle + head @ (0, 0.008, -0.008), (0.137, 0.147, 0.137), hair, rotation=crown, low=0.08
    )
    black, lips = Paint((0.06, 0.05, 0.06), 0.9), Paint((0.75, 0.25, 0.25), 0.3)
    for joint in (R_EYE, L_EYE):
        solids.ellipsoid(middle + head @ _FACE[joint], (0.017, 0.023, 0.014), black, rotation=head)
    for joint in (R_EAR, L_EAR):
        solids.ellipsoid(middle + head @ _FACE[joint], (0.022, 0.034, 0.026), skin, rotation=head)
    solids.ball(middle + head @ (0, -0.005, 0.125), 0.02, skin)
    solids.ellipsoid(middle + head @ (0, -0.055, 0.108), (0.032, 0.009, 0.014), lips, rotation=head)


def _add_arm(
    solids: Solids, shoulder: Array, elbow: Array, wrist: Array, shirt: Paint, skin: Paint
) -> None:
    solids.ball(shoulder, 0.064, shirt)
    solids.limb(shoulder, 0.064, elbow, 0.052, shirt)
    solids.ball(elbow, 0.052, shirt)
    solids.limb(elbow, 0.052, wrist, 0.046, shirt)
    along = (wrist - elbow) / _FOREARM
    solids.ball(wrist + 0.022 * along, 0.052, skin)


def _add_leg(solids: Solids, hip: Array, knee: Array, ankle: Array, trousers: Paint) -> None:
    solids.ball(hip, 0.076, trousers)
    solids.limb(hip, 0.076, knee, 0.06, trousers)
    solids.ball(knee, 0.06, trousers)
    solids.limb(knee, 0.06, ankle, 0.05, trousers)
    middle, frame = _shoe(knee, ankle)
    solids.ellipsoid(middle, _SHOE, Paint((0.20, 0.17, 0.17), 0.5), rotation=frame)


def _shoe(knee: Array, ankle: Array) -> tuple[Array, Array]:
    """Middle and orientation of a shoe: its sole lies flat, or square to a shin that is tilted."""
    up, ahead = (knee - ankle) / _SHIN, np.array([0.0, 0.0, 1.0])
    if up[1] > 0.93:
        up = np.array([0.0, 1.0, 0.0])
    else:
        ahead = ahead - up[2] * up
        ahead /= math.sqrt(ahead @ ahead)
    frame = np.stack([cross(up, ahead), up, ahead], axis=1)
    return ankle + frame @ (0, -0.012, 0.035), frame


def _lowest(knee: Array, ankle: Array) -> float:
    """Height of the lowest point of a shoe."""
    middle, frame = _shoe(knee, ankle)
    reach = frame[1] * _SHOE
    return middle[1] - math.sqrt(reach @ reach)
