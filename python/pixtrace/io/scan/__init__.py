"""Scans of many cameras: raw HAWC+ files, neutral FITS, HDF5 and ECSV, and tables of single samples."""
