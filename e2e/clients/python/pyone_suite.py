"""Drives every method that Holm answers with pyone, unmodified: pyone_suite.py SHEET [WORD...].

SHEET is the coverage sheet of the documentation; WORDs choose cases by name. Fails when a case fails, and, when all
cases ran, when a method that is answered was never called with success.
"""

import sys

import harness
import access
import infrastructure
import machines
import machine_devices
import networks
import owned
import storage
import system

# What cannot succeed at present, and why. It has to be called all the same.
UNREACHABLE = {
    name: "a persistent image gets its disk's content back, and not the snapshots of the VM's disk"
    for name in ("one.image.snapshotdelete", "one.image.snapshotflatten", "one.image.snapshotrevert")
}

MODULES = [system, access, infrastructure, storage, networks, owned, machines, machine_devices]


def main():
    sheet, only = sys.argv[1], sys.argv[2:]
    cloud = harness.connect()
    failed, missing = harness.run(cloud, only)
    print(f"{len(cloud.answered)} of {len(cloud.done)} methods were answered with success")
    for method, cases in sorted(missing.items()):
        print(f"not answered yet: {method}, needed by {', '.join(sorted(set(cases)))}")
    left = [name for name, _ in harness.planned(sheet)]
    print(f"planned: {len(left)} methods: {', '.join(left)}")
    complaints = [f"failed: {name}" for name in failed]
    if not only:
        complaints += [f"answered, and in no case: {name}" for name in sorted(cloud.done - cloud.answered - UNREACHABLE.keys())]
        complaints += [f"never called: {name}" for name in sorted(cloud.done - cloud.called)]
        complaints += [f"succeeds, and is called unreachable: {name}" for name in UNREACHABLE if name in cloud.answered]
    for name, why in UNREACHABLE.items():
        print(f"called, and always refused: {name}: {why}")
    if failed:
        complaints.append(f"{len(failed)} cases failed")
    if complaints:
        harness.fail(complaints)


if __name__ == "__main__":
    main()
