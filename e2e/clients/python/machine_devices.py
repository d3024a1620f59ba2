"""What virtual machines are made of: disks, cards, capacity, snapshots, configuration."""

import pyone

from harness import case, equal, ids, refused, several


def running(cloud, vm):
    """Waits for the end of a change of a running VM."""
    return cloud.vm_state(vm, 3, 3)


@case
def disks_come_and_go(cloud):
    one = cloud.admin
    image = cloud.image()
    vm = cloud.vm(f"DISK=[IMAGE_ID={cloud.image()}]")
    equal(one.vm.attach(vm, f"DISK=[IMAGE_ID={image}]"), vm, "attach answers the id")
    info = running(cloud, vm)
    disks = several(info.TEMPLATE["DISK"])
    equal([(it["DISK_ID"], it["SIZE"]) for it in disks], [("0", "64"), ("1", "64")], "two disks")
    assert disks[0]["TARGET"] != disks[1]["TARGET"], "two names"
    one.vm.attach(vm, 'DISK=[TYPE="fs",FORMAT="raw",SIZE="8"]')
    info = running(cloud, vm)
    equal([it["DISK_ID"] for it in several(info.TEMPLATE["DISK"])], ["0", "1", "2"], "a volatile disk")
    equal(one.vm.detach(vm, 1), vm, "detach answers the id")
    info = running(cloud, vm)
    equal([it["DISK_ID"] for it in several(info.TEMPLATE["DISK"])], ["0", "2"], "without the second disk")
    refused(pyone.OneActionException, one.vm.detach, vm, 1)
    refused(pyone.OneException, one.vm.attach, vm, "DISK=[IMAGE_ID=99999]")
    one.vm.diskresize(vm, 0, "128")
    cloud.wait("the larger disk", lambda: one.vm.info(vm), lambda it: several(it.TEMPLATE["DISK"])[0]["SIZE"] == "128")
    running(cloud, vm)
    refused(pyone.OneException, one.vm.diskresize, vm, 0, "1")
    cloud.end(vm)


@case
def cards_come_and_go(cloud):
    one = cloud.admin
    first, second = cloud.network(), cloud.network()
    group = one.secgroup.allocate(f'NAME="{cloud.fresh("sg")}"\nRULE=[PROTOCOL=TCP,RULE_TYPE=INBOUND,RANGE="22"]')
    vm = cloud.vm(f"NIC=[NETWORK_ID={first}]")
    one.vm.attachnic(vm, f"NIC=[NETWORK_ID={second}]")
    cards = several(running(cloud, vm).TEMPLATE["NIC"])
    equal([(it["NIC_ID"], it["NETWORK_ID"]) for it in cards], [("0", str(first)), ("1", str(second))], "two cards")
    one.vm.attachnic(vm, f'NIC_ALIAS=[NETWORK_ID={second},PARENT="NIC0"]')
    info = running(cloud, vm)
    alias = several(info.TEMPLATE["NIC_ALIAS"])[0]
    equal((alias["PARENT_ID"], alias["NETWORK_ID"]), ("0", str(second)), "an alias of the first card")
    equal(one.vn.info(second).USED_LEASES, 2, "both have addresses")
    one.vm.detachnic(vm, int(alias["NIC_ID"]))
    assert not several(running(cloud, vm).TEMPLATE.get("NIC_ALIAS")), "the alias is gone"
    one.vm.attachsg(vm, 0, group)
    assert str(group) in several(running(cloud, vm).TEMPLATE["NIC"])[0]["SECURITY_GROUPS"].split(","), "one more group"
    one.vm.detachsg(vm, 0, group)
    assert str(group) not in several(running(cloud, vm).TEMPLATE["NIC"])[0]["SECURITY_GROUPS"].split(","), "one less"
    one.vm.updatenic(vm, 0, 'NIC=[NOTE="x"]', 1)
    running(cloud, vm)
    one.vm.detachnic(vm, 1)
    cards = several(running(cloud, vm).TEMPLATE["NIC"])
    equal([it["NIC_ID"] for it in cards], ["0"], "one card is left")
    equal(one.vn.info(second).USED_LEASES, 0, "the addresses are free")
    refused(pyone.OneActionException, one.vm.detachnic, vm, 7)
    cloud.end(vm)
    one.secgroup.delete(group)


@case
def capacity_changes(cloud):
    one = cloud.admin
    vm = cloud.vm()
    one.vm.action("poweroff-hard", vm)
    cloud.vm_state(vm, 8)
    one.vm.resize(vm, 'CPU="0.02"\nVCPU="2"\nMEMORY="32"', True)
    template = cloud.vm_state(vm, 8).TEMPLATE
    equal((template["CPU"], template["VCPU"], template["MEMORY"]), ("0.02", "2", "32"), "the new capacity")
    one.vm.resize(vm, 'MEMORY="48"')
    template = cloud.vm_state(vm, 8).TEMPLATE
    equal((template["CPU"], template["MEMORY"]), ("0.02", "48"), "what is not named stays")
    refused(pyone.OneException, one.vm.resize, vm, 'MEMORY="999999999"', True)
    refused(pyone.OneException, one.vm.resize, vm, 'CPU="-1"')
    one.vm.action("resume", vm)
    cloud.vm_state(vm, 3, 3)
    cloud.end(vm)


@case
def configuration_changes(cloud):
    one = cloud.admin
    vm = cloud.vm('CONTEXT=[A="1",B="2"]\nGRAPHICS=[TYPE="vnc",LISTEN="127.0.0.1"]')
    one.vm.action("poweroff-hard", vm)
    cloud.vm_state(vm, 8)
    one.vm.updateconf(vm, 'CONTEXT=[B="3",C="4"]\nFEATURES=[ACPI="no"]', 1)
    template = one.vm.info(vm).TEMPLATE
    context = template["CONTEXT"]
    equal((context.get("A"), context["B"], context["C"]), ("1", "3", "4"), "appending merges the context")
    equal((template["FEATURES"]["ACPI"].lower(), template["GRAPHICS"]["TYPE"].lower()), ("no", "vnc"), "the rest stays")
    before = dict(template)
    one.vm.updateconf(vm, 'CONTEXT=[B="3",C="4"]\nFEATURES=[ACPI="no"]', 1)
    equal(dict(one.vm.info(vm).TEMPLATE), before, "the same again changes nothing")
    one.vm.updateconf(vm, 'CONTEXT=[D="5"]')
    template = one.vm.info(vm).TEMPLATE
    assert "A" not in template["CONTEXT"] and template["CONTEXT"]["D"] == "5", "replacing keeps nothing"
    one.vm.action("resume", vm)
    cloud.vm_state(vm, 3, 3)
    cloud.end(vm)


@case
def snapshots_of_disks(cloud):
    one = cloud.admin
    vm = cloud.vm(f"DISK=[IMAGE_ID={cloud.image()}]")
    first = one.vm.disksnapshotcreate(vm, 0, "first")
    running(cloud, vm)
    second = one.vm.disksnapshotcreate(vm, 0, "second")
    info = running(cloud, vm)
    snapshots = several(info.SNAPSHOTS)[0].SNAPSHOT
    equal([(it.ID, it.NAME) for it in snapshots], [(first, "first"), (second, "second")], "two snapshots")
    one.vm.disksnapshotrename(vm, 0, first, "renamed")
    equal(several(one.vm.info(vm).SNAPSHOTS)[0].SNAPSHOT[0].NAME, "renamed", "the name")
    refused(pyone.OneActionException, one.vm.disksnapshotrevert, vm, 0, first)
    one.vm.action("poweroff-hard", vm)
    cloud.vm_state(vm, 8)
    one.vm.disksnapshotrevert(vm, 0, first)
    cloud.vm_state(vm, 8)
    one.vm.disksnapshotdelete(vm, 0, second)
    info = cloud.wait("one snapshot", lambda: one.vm.info(vm), lambda it: len(several(it.SNAPSHOTS)[0].SNAPSHOT) == 1)
    refused(pyone.OneException, one.vm.disksnapshotrevert, vm, 0, 77)
    cloud.end(vm)


@case
def snapshots_of_machines(cloud):
    one = cloud.admin
    vm = cloud.vm(f"DISK=[IMAGE_ID={cloud.image()}]")
    number = one.vm.snapshotcreate(vm, "before")
    info = running(cloud, vm)
    snapshot = several(info.TEMPLATE["SNAPSHOT"])[0]
    equal((snapshot["SNAPSHOT_ID"], snapshot["NAME"]), (str(number), "before"), "a snapshot")
    one.vm.snapshotrevert(vm, number)
    running(cloud, vm)
    one.vm.snapshotdelete(vm, number)
    cloud.wait("no snapshot", lambda: one.vm.info(vm), lambda it: not it.TEMPLATE.get("SNAPSHOT"))
    refused(pyone.OneActionException, one.vm.snapshotrevert, vm, number)
    cloud.end(vm)


@case
def disks_become_images(cloud):
    one = cloud.admin
    vm = cloud.vm(f"DISK=[IMAGE_ID={cloud.image()}]")
    one.vm.action("poweroff-hard", vm)
    cloud.vm_state(vm, 8)
    name = cloud.fresh("saved")
    image = one.vm.disksaveas(vm, 0, name, "", -1)
    cloud.image_state(image, 1)
    cloud.vm_state(vm, 8)
    equal(one.image.info(image).NAME, name, "the image")
    refused(pyone.OneException, one.vm.disksaveas, vm, 9, cloud.fresh("no"), "", -1)
    cloud.end(vm)
    other = cloud.vm(f"DISK=[IMAGE_ID={image}]")
    cloud.end(other)
    one.image.delete(image)


@case
def vms_join_and_leave_groups(cloud):
    one = cloud.admin
    group = one.vmgroup.allocate(f'NAME="{cloud.fresh("vg")}"\nROLE=[NAME="a"]')
    vm = cloud.vm()
    one.vm.action("poweroff-hard", vm)
    cloud.vm_state(vm, 8)
    one.vm.vmgroupadd(vm, group, "a")
    equal(one.vm.info(vm).TEMPLATE["VMGROUP"]["VMGROUP_ID"], str(group), "the group")
    equal(one.vmgroup.info(group).ROLES.ROLE[0].VMS, str(vm), "the role's VM")
    one.vm.vmgroupdel(vm)
    assert "VMGROUP" not in one.vm.info(vm).TEMPLATE, "no group"
    cloud.end(vm)
    one.vmgroup.delete(group)
    assert group not in ids(one.vmgrouppool.info(-2, -1, -1), "VM_GROUP")
