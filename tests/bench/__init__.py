"""`just bench`: speed, memory and growth, measured beside jwst 3.0.0 in one run.

Nothing here is a test, and no test measures time. Every measurement asserts first that both give the same answer.
"""
