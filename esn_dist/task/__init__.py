"""The multiple-choice task: its prompt, the order of its options, and the cascade that reads an answer.

Knows neither models nor stores.
"""
