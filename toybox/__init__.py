"""The toybox: a small world whose every truth is known, so that claims can be measured.

world/   scenes, captions, photos and their exact truth
gallery  the pictures of the front page
annotators/  how the networks that read control images off photos are trained
manifest the list of the weights, with their checksums
"""
