"""What somebody else brings to whichgoal."""
