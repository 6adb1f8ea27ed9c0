"""An agent plays the panels: a checkpoint, anybody's policy, or a scripted agent of known goal."""
