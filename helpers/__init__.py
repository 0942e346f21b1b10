"""What the notebooks import, so that they can be short.

catalogue    the eight conditions in one table
images       pictures in and out, and `check_control`, which says what is wrong with a control image
faults/      the single checks of `check_control`
conditions/  one module a condition: photo to control image, and the mathematics that is taught
annotators   photo to measurement, and measurement to control image
scores       how well a picture follows its control, one score a condition
networks     soft edges and lines of the toybox, pose_network its people
pipelines    load a model, and generate pictures with it
weights      whether the files of the toybox's model are sound
show         every figure of the suite
widgets      sliders over functions that work without them
experiments  notebooks run as experiments, with parameters
runtime      what differs from machine to machine
knobs        the check of arguments that are numbers
"""
