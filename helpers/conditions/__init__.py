"""From photo to control image: one module a condition, and two tables of data.

canny scribble mlsd depth normal openpose seg   the conditions, as far as they need no weights
openpose_decode                                 from the maps of a pose network to people
ade20k skeleton                                 classes and their colours, joints and limbs
"""
