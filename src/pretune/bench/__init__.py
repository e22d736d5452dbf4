"""What the engine and the server cost, measured: against the base alone, and against peers.

One file a thing measured (``measures``), one a peer (``peers``). Sides that are compared take turns
in one run; what is told is the median of their ratios and its spread.
"""
