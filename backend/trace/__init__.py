"""`minka trace`: what each worker remembers of consensus, put into one order and drawn.

``collect`` asks the workers, ``causality`` orders their events, ``page`` writes the timeline.
"""
