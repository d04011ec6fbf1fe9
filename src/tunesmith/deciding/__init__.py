"""Deciding: is B better than A, are they alike, or can nobody tell yet? Statistics alone; no model is opened here.

Everything is paired: both sides answered the same rows. A difference is always b minus a, in the unit of its metric, so
that for a metric where lower is better a negative difference favours b.

Shape letters: R resamples, N rows, G units that are drawn together (rows, or groups of rows), S seeds, D data sets.
"""
