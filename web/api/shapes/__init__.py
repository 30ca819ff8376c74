"""The shapes of the answers, for the document: a room for each part of the API. Views are dicts,
made where they are read.

A test holds real answers against these. Extra members are forbidden, so that one that is added to a
view and not here is found by that test.
"""
