"""Statistics over trained agents: the unit is the agent, never the episode. No torch, no Ray.

Pure functions of agents and an explicit random generator, file by file: `cells` (shares of seeds),
`contrasts` (Fisher's test between cells, Holm's correction), `dose` (how much disagreement turns
half the agents; trends over size), `logistic` (the regression under them), `matching` (agents of
like success on `train`), `comparison` (all of it for one sweep, as data), `conclusion` (as a
sentence), `code` (which code scored them) and `scored` (reads a sweep's agents from its files).
"""
