"""The sections of the report, each built in a module of its own.

To add a table, write a module with a function from `Results` to `Section`, and list the function in `builders`.
"""
