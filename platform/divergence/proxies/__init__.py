"""What else an agent could have learned: which pursuits a training cannot tell from its goal."""
