"""Play the stories and show where they go otherwise than told; with --write, tell them anew."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.scenarios.script import difference, play
from tests.scenarios.stage import StoryError

HERE = Path(__file__).parent


def main() -> int:
    """Return 0 if all went as told, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.scenarios", description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, help="which; without one, all")
    parser.add_argument("--write", action="store_true", help="write what is printed into them")
    arguments = parser.parse_args()
    is_other = False
    for path in arguments.files or sorted(HERE.glob("*.txt")):
        try:
            found = difference(path)
        except StoryError as error:
            sys.stdout.write(f"{path.name}, {error}\n")
            is_other = True
            continue
        is_other = is_other or bool(found)
        sys.stdout.write(f"{found or f'{path.name}: as told'}\n")
        if found and arguments.write:
            path.write_text(play(path.read_text(encoding="utf-8")), encoding="utf-8")
    return int(is_other and not arguments.write)


if __name__ == "__main__":
    sys.exit(main())
