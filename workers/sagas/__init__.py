"""The sagas that come with Surefoot: one package each, found through the entry points
`surefoot.sagas`.
"""
