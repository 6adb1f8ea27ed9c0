"""The command line: `whichgoal plan | run | list | score | validate | compare | play | sync`."""
