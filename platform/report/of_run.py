"""What a run leaves to look at in its sweep's folder: the page, and one film.

It costs no run: what goes wrong is one line, and of very many agents nothing is written.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from whichgoal.compare.command import Compared
from whichgoal.redact import redact
from whichgoal.report.watch import PAGE, choose
from whichgoal.spec import cut_short
from whichgoal.storage.atomic import replacing
from whichgoal.storage.ledger import TrialFolder
from whichgoal.storage.root import Storage

FILM = "film.gif"
MOST_AGENTS = 1000
"""With more, the page takes longer than seconds, and `whichgoal report` writes it."""


def leave(compared: Compared, storage: Storage) -> list[str]:
    """Writes the page and the film of a sweep with a scored agent into its folder.

    Returns:
        Why one of them is not there, a line each; nothing that was there before stays then.
    """
    folder, told = storage.sweep(compared.sweep.name), []
    for name, write in ((PAGE, _page), (FILM, _film)):
        path = folder / name
        try:
            write(compared, storage, path)
        except Exception as error:  # whatever it is, the run has its results
            with suppress(OSError):
                path.unlink(missing_ok=True)
            told.append(f"{name} is not written: {cut_short(redact(str(error) or repr(error)))}")
    return told


def _page(compared: Compared, storage: Storage, path: Path) -> None:
    from whichgoal.report.page.write import write_page

    if len(compared.sweep.agents) > MOST_AGENTS:
        raise ValueError(
            f"of more than {MOST_AGENTS:,} agents it takes a while; "
            f"whichgoal report {compared.sweep.name} writes it"
        )
    write_page(compared, storage, path)


def _film(compared: Compared, storage: Storage, path: Path) -> None:
    """Writes a film of the agent that `whichgoal play` is told to show; none where none is kept."""
    from whichgoal.report.films.recorded import write_film
    from whichgoal.report.page.replays import Boards

    assert compared.comparison is not None
    card = choose(compared.comparison.cells[0])["typical"].card
    boards = Boards(storage)
    films = boards.films(TrialFolder(storage.trial(card.trial)), card)
    if not films:
        path.unlink(missing_ok=True)
        return
    with replacing(path) as file:
        write_film(films[0]["films"], boards.found, file)
