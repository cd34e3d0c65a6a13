"""Runs a sweep: a driver that plans, schedules and resumes units on a pool of actors. Knows no Ray."""
