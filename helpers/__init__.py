"""What the notebooks import, so that they can be short.

catalogue    the eight conditions in one table
images       pictures in and out, and `check_control`, which says what is wrong with a control image
faults/      the single checks of `check_control`
conditions/  one module a condition: photo to control image, and the mathematics that is taught
show         every figure of the suite
experiments  notebooks run as experiments, with parameters
runtime      what differs from machine to machine
knobs        the check of arguments that are numbers
"""
