"""What a running sweep tells: counts, speed, time left."""

import io

from rich.console import Console

from whichgoal.run.progress import Board, Row, Screen, say_plainly


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def board() -> tuple[Board, Clock]:
    clock = Clock()
    rows = {"a": Row("arrow 1.0, seed 0", 1000), "b": Row("arrow 0.5, seed 0", 1000)}
    return Board(rows, already_done=1, clock=clock), clock


def report(env_steps: int, stage: str = "train", success: float | None = None) -> dict:
    return {"stage": stage, "env_steps": env_steps, "env_steps_per_s": 1.0, "success": success}


def test_speed_is_what_was_trained_since_the_first_batch():
    shown, clock = board()
    clock.now = 50.0  # compiling
    shown.update("a", report(100))
    clock.now = 54.0
    shown.update("a", report(300))
    assert shown.env_steps_per_s == 50.0


def test_time_left_counts_the_waiting_trials_too():
    shown, clock = board()
    for clock.now, steps in ((0.0, 100), (4.0, 500)):
        shown.update("a", report(steps))
    assert shown.left_s == (500 + 1000) / 100


def test_time_left_is_not_known_before_there_is_a_speed():
    shown, _ = board()
    assert shown.left_s is None
    shown.update("a", report(100))
    assert shown.left_s is None


def test_a_line_shows_no_secret_and_obeys_no_control_character(monkeypatch):
    monkeypatch.setenv("GITHUB_PAT", "a-planted-secret")
    text = io.StringIO()
    say_plainly(Console(file=text), "it failed\x1b[2J: a-planted-secret [bold]\nsecond line")
    assert text.getvalue() == "it failed\\x1b[2J: *** [bold]\nsecond line\n"


def test_the_headline_counts_trials():
    shown, clock = board()
    for clock.now, steps in ((0.0, 100), (4.0, 500)):
        shown.update("a", report(steps, success=0.25))
    assert shown.headline() == (
        "1/3 trials done, 1 running, 1 waiting, 100 env steps/s, 15 s left, 4 s so far"
    )
    assert shown.lines() == ["arrow 1.0, seed 0: 500 of 1,000 env steps, success 25%"]
    shown.update("a", report(1024))  # the last batch goes beyond
    assert shown.lines() == ["arrow 1.0, seed 0: 1,000 of 1,000 env steps, success 25%"]
    shown.update("a", report(1024, "done"))
    shown.fail("b")
    assert shown.headline().startswith("2/3 trials done, 0 running, 0 waiting, 1 failed")


def test_a_trial_that_another_process_works_on_is_said_to_wait():
    shown, clock = board()
    shown.update("b", report(0, "held"))
    for clock.now, steps in ((0.0, 100), (4.0, 500)):
        shown.update("a", report(steps))
    assert "1 running, 1 waiting, 100 env steps/s, 5 s left" in shown.headline()
    assert "arrow 0.5, seed 0: waits for another process that works on the same trial" in (
        shown.lines()
    )


def test_a_log_gets_a_line_every_ten_seconds():
    shown, clock = board()
    text = io.StringIO()
    with Screen(shown, Console(file=text, width=120)) as screen:
        for clock.now in (0.0, 3.0, 9.0, 11.0, 12.0):
            screen.tell()
    assert len(text.getvalue().splitlines()) == 3  # at 0, at 11, at the end


def test_a_terminal_is_redrawn():
    shown, _ = board()
    text = io.StringIO()
    with Screen(shown, Console(file=text, width=120, force_terminal=True)):
        shown.update("a", report(500, success=0.5))
    assert "500 of 1,000 env steps, success 50%" in text.getvalue()
