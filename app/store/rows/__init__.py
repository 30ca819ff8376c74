"""The shapes of rows that the store reads: one class for each, named for what it tells.

A row is SQLAlchemy's own; nothing is built for it. The function that runs a statement says which
shape its rows have: mypy takes SQLAlchemy's rows for any shape, and holds their reader to the
columns of this one. So a misspelt column, a null that nobody thought of or a number taken for a
text is found before anything runs. That each function says the truth about its statement is held by
tests/contract/store/test_row_shapes.py.
"""
