"""`python -m cnnspec.search.worker`: one of several processes that work on a search, started by the first.

It is told the search's folder, what of the machine is its own, as JSON, and the process that it is not to outlive. It
says on stdout why it failed, if it did.
"""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path

from cnnspec.interrupts import Stopped, handler

__all__ = ["main"]


def main(arguments: list[str]) -> int:
    """Work on a search until it is done. The exit code is the error's."""
    from cnnspec.errors import CnnspecError

    try:
        _work(Path(arguments[0]), json.loads(arguments[1]), int(arguments[2]))
    except CnnspecError as error:
        if error.exit_code < 128:
            print(json.dumps({"message": error.message, "hint": error.hint, "exit_code": error.exit_code}))
        return error.exit_code
    except Stopped as stopped:
        return stopped.exit_code
    except Exception as error:  # a fault of ours: who started the worker tells of it
        traceback.print_exc()
        said = f"a worker has failed: {type(error).__name__}: {error}"
        print(json.dumps({"message": said, "hint": "please report it", "exit_code": 1}))
        return 1
    return 0


def _work(path: Path, told: dict[str, object], parent: int) -> None:
    from cnnspec.search.folder import SearchFolder
    from cnnspec.search.journal import quiet
    from cnnspec.search.progress import SilentSearch
    from cnnspec.search.trials import Machine
    from cnnspec.search.work import Worker, check_data, check_space, open_data
    from cnnspec.training.shared import Shared

    folder = SearchFolder(path)
    machine = Machine(**told)  # type: ignore[arg-type]
    with quiet():
        plan, shared, progress = folder.read(), Shared(), SilentSearch()
        check_data(folder, plan, machine, open_data(plan, machine, shared, progress))
        Worker(folder, plan, machine, check_space(plan), shared, progress, parent=parent).work()


if __name__ == "__main__":
    handler.install()
    sys.exit(main(sys.argv[1:]))
