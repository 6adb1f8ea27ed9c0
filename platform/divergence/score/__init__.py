"""From episodes to a verdict: scores, goal inference, verdict, scorecard."""
