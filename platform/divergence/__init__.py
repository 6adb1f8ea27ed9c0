"""What an agent pursues: panels, probe, scores, verdict. No training code, no Ray."""
