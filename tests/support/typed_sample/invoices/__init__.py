"""A saga author's package, as both type checkers have to like it."""
