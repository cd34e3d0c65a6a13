"""Runs a sweep: a driver that plans, schedules and resumes units on a pool of actors. Knows no Ray.

Suffixes of array names give their shape. In this package each letter has one meaning:

    E  emotions        L  layers        N  neurons of a layer
"""
