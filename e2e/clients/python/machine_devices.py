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
def hardware_is_as_written_or_refused(cloud):
    one = cloud.admin
    vm = cloud.vm(
        'OS=[BOOT="disk0",MACHINE="q35",ARCH="x86_64"]\nCPU_MODEL=[MODEL="host-passthrough"]\n'
        'FEATURES=[ACPI="yes",GUEST_AGENT="yes",VIRTIO_BLK_QUEUES="auto"]\nINPUT=[TYPE="tablet",BUS="usb"]\n'
        'GRAPHICS=[TYPE="vnc",LISTEN="0.0.0.0",KEYMAP="de"]\nVIDEO=[TYPE="vga",RESOLUTION="1280x800"]\n'
        f"DISK=[IMAGE_ID={cloud.image()}]"
    )
    template = one.vm.info(vm).TEMPLATE
    equal((template["OS"]["BOOT"], template["CPU_MODEL"]["MODEL"]), ("disk0", "host-passthrough"), "kept as written")
    one.vm.action("poweroff-hard", vm)
    cloud.vm_state(vm, 8)
    refused(pyone.OneException, one.vm.updateconf, vm, 'OS=[BOOT="disk7"]', 1)
    equal(one.vm.info(vm).TEMPLATE["OS"]["BOOT"], "disk0", "a refused change changes nothing")
    cloud.end(vm)
    for text in (
        'RAW=[TYPE="kvm",DATA="<x/>"]',
        'OS=[KERNEL="/boot/vmlinuz"]',
        'OS=[BOOT="disk3"]',
        'OS=[MACHINE="pc-i440fx-7.2"]',
        'GRAPHICS=[TYPE="spice"]',
        'FEATURES=[IOMMU="YES"]',
        'TPM=[MODEL="tpm-crb"]',
    ):
        refused(pyone.OneException, one.vm.allocate, f"CPU=0.1\nMEMORY=16\n{text}", True)


@case
def a_machine_without_a_name_knows_its_name(cloud):
    one = cloud.admin
    cloud.hosts()
    vm = one.vm.allocate('CPU=0.01\nMEMORY=16\nCONTEXT=[CALLED="$NAME",NUMBER="$VMID"]')
    info = cloud.vm_state(vm, 3, 3)
    equal(info.NAME, f"one-{vm}", "the name")
    context = info.TEMPLATE["CONTEXT"]
    equal((context["CALLED"], context["NUMBER"]), (f"one-{vm}", str(vm)), "in the context")
    cloud.end(vm)


@case
def processors_pages_and_devices_of_a_host_are_given_once(cloud):
    one = cloud.admin
    host = one.host.allocate(cloud.fresh("pinned"), "dummy", "dummy", -1)
    cloud.wait("the host", lambda: one.host.info(host), lambda it: it.STATE == 2 and it.HOST_SHARE.PCI_DEVICES.PCI)
    one.host.update(host, 'PIN_POLICY="PINNED"', 1)
    tied = 'VCPU=2\nTOPOLOGY=[PIN_POLICY="CORE",SOCKETS="1",CORES="2",THREADS="1",HUGEPAGE_SIZE="2"]\n'
    vm = cloud.vm(f'{tied}PCI=[VENDOR="10de",CLASS="0302"]')
    info = one.vm.info(vm)
    equal(info.HISTORY_RECORDS.HISTORY[-1].HID, host, "on the host for it")
    node, device = several(info.TEMPLATE["NUMA_NODE"])[0], several(info.TEMPLATE["PCI"])[0]
    equal((node["TOTAL_CPUS"], len(node["CPUS"].split(","))), ("2", 2), "two processors")
    equal((device["SHORT_ADDRESS"], device["DEVICE"], device["PCI_ID"]), ("01:00.0", "1eb8", "0"), "the device")
    share = one.host.info(host).HOST_SHARE
    equal([it.VMID for it in share.PCI_DEVICES.PCI], [vm], "the host's device is the machine's")
    cores = [core for part in share.NUMA_NODES.NODE for core in part.CORE]
    equal([core.DEDICATED for core in cores].count("YES"), 2, "two cores are nobody else's")
    equal(sum(int(pool.USAGE) for part in share.NUMA_NODES.NODE for pool in part.HUGEPAGE), 8, "pages are taken")
    waiting = one.vm.allocate(f'NAME="{cloud.fresh("vm")}"\nCPU=0.01\nMEMORY=16\n{tied}PCI=[SHORT_ADDRESS="01:00.0"]')
    cloud.wait("the reason", lambda: one.vm.info(waiting), lambda it: "another VM" in it.USER_TEMPLATE.get("SCHED_MESSAGE", ""))
    refused(pyone.OneActionException, one.vm.detachpci, vm, 0)
    one.vm.action("poweroff-hard", vm)
    cloud.vm_state(vm, 8)
    one.vm.detachpci(vm, 0)
    refused(pyone.OneException, one.vm.detachpci, vm, 0)
    cloud.vm_state(waiting, 3, 3)
    refused(pyone.OneException, one.vm.attachpci, vm, 'PCI=[VENDOR="10de"]')
    cloud.end(waiting)
    one.vm.attachpci(vm, 'PCI=[VENDOR="10de"]')
    equal(several(one.vm.info(vm).TEMPLATE["PCI"])[0]["SHORT_ADDRESS"], "01:00.0", "attached while it is off")
    cloud.end(vm)
    one.host.delete(host)


@case
def deploying_says_where(cloud):
    one = cloud.admin
    host = cloud.host("deploy")
    vm = one.vm.allocate(f'NAME="{cloud.fresh("vm")}"\nCPU=0.01\nMEMORY=16', True)
    cloud.vm_state(vm, 2)
    refused(pyone.OneException, one.vm.deploy, vm, host, False, 1)
    refused(pyone.OneException, one.vm.deploy, vm, host, False, 99999)
    refused(pyone.OneException, one.vm.deploy, vm, host, False, -1, "CPU=1")
    refused(pyone.OneException, one.vm.deploy, vm, host, False, -1, "NIC=[NIC_ID=0,NETWORK_ID=0]")
    one.vm.deploy(vm, host, False, 0, "")
    info = cloud.vm_state(vm, 3, 3)
    equal((info.HISTORY_RECORDS.HISTORY[-1].HID, info.HISTORY_RECORDS.HISTORY[-1].DS_ID), (host, 0), "where it is")
    cloud.end(vm)
    large = one.vm.allocate(f'NAME="{cloud.fresh("vm")}"\nCPU=900\nMEMORY=16', True)
    one.vm.deploy(large, host, False)
    cloud.vm_state(large, 3, 3)
    cloud.end(large)
    large = one.vm.allocate(f'NAME="{cloud.fresh("vm")}"\nCPU=900\nMEMORY=16', True)
    one.vm.deploy(large, host, True)
    cloud.wait("the reason", lambda: one.vm.info(large), lambda it: "cores" in it.USER_TEMPLATE.get("SCHED_MESSAGE", ""))
    cloud.end(large)
    one.host.delete(host)


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
