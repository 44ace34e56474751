"""Write the reference pages anew: `python -m tests.docs`."""

from tests.docs.reference import PAGES

if __name__ == "__main__":
    for file, make in PAGES.items():
        file.write_text(make())
