"""Unpacks one collection out of the distribution `ansible`: collection.py WHEELS NAMESPACE/NAME INTO."""

import pathlib
import sys
import zipfile


def main(wheels, collection, into):
    found = sorted(pathlib.Path(wheels).glob("ansible-*.whl"))
    if len(found) != 1:
        sys.exit(f"{wheels} should hold one ansible-*.whl and holds {[path.name for path in found]}")
    prefix = f"ansible_collections/{collection}/"
    with zipfile.ZipFile(found[0]) as wheel:
        names = [name for name in wheel.namelist() if name.startswith(prefix)]
        if not names:
            sys.exit(f"{found[0].name} holds no collection {collection}")
        wheel.extractall(into, names)


if __name__ == "__main__":
    main(*sys.argv[1:])
