"""How near a result is to its reference: overlap, curves, surfaces in mm, volumes."""
