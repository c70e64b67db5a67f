"""Other people's objects and ours: the only room that imports their packages, and it does so where they are used.

`pixtrace.adapters.jwst` is for the pipeline of JWST (extra ``pixtrace[jwst]``), `pixtrace.adapters.sofia` for
reductions of scans with sofia_redux (extra ``pixtrace[sofia]``).
"""
