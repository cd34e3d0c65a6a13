"""Runs a sweep on Ray: actors that hold a model and execute units, a driver that schedules them and resumes."""
