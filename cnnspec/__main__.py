"""Where the process starts: `cnnspec` and `python -m cnnspec`."""

import sys

from cnnspec import interrupts


def main() -> None:
    """Run the command line, and leave without a traceback where a signal comes while it is still loading."""
    interrupts.handler.install()  # before anything else is imported
    try:
        import gc

        gc.set_threshold(100_000)  # nothing made while importing is garbage, and walking through it takes long
        from cnnspec.cli import main as run

        run()
    except KeyboardInterrupt as error:
        print("interrupted", file=sys.stderr)
        sys.exit(getattr(error, "exit_code", 130))


if __name__ == "__main__":
    main()
