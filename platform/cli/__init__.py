"""The command line: `whichgoal plan | run | list | score | compare | report | play | ...`."""
