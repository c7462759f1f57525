"""The fault laboratory: a small benchmark is broken in every way, run again by the same command, and compared.

`make test-faults` runs it and prints a table of what each kind of fault cost. It is no part of `make test`.
"""
