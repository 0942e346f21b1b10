"""What the notebooks import, so that they can be short.

catalogue    the eight conditions in one table
images       pictures in and out, and `check_control`, which says what is wrong with a control image
conditions/  one module a condition: photo to control image, and the mathematics that is taught
experiments  notebooks run as experiments, with parameters
runtime      what differs from machine to machine
show         every figure of the suite
"""
