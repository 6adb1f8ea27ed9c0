"""A sweep file read into trials: YAML -> `Sweep` -> [`TrialSpec`]; what they come to. No torch."""
