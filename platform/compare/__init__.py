"""Statistics over trained agents: the unit is the agent, never the episode. No torch, no Ray.

Pure functions of agents and an explicit random generator, file by file: `cells` (shares of seeds),
`asked` (the one question of a sweep), `strata` (who is held against whom), `conditional` and
`permuted` (exact tests and the slope), `effect` (the pooled effect), `spread` (how far it differs
over strata), `versions` (the same, counted otherwise), `dose` and `doses` (how much disagreement
turns half the agents), `logistic` (the regression under them), `comparison` (all of it for one
sweep, as data), `conclusion` (in sentences), `simulation` and `power` (what a sweep can find),
`code` (which code scored the agents) and `scored` (reads a sweep's agents from its files).
"""
