"""Reconciliation: the account of effects is compared with what each service says, and people decide
about findings.
"""
