"""Virtual machines: their life, their lists, their records."""

import time

import pyone

from harness import case, equal, ids, refused, several


@case
def a_vm_from_hold_to_done(cloud):
    one = cloud.admin
    vm = cloud.vm('NOTE="n"\nCONTEXT=[GREETING="hello"]', hold=True)
    info = one.vm.info(vm)
    equal((info.UNAME, info.GNAME, info.RESCHED, info.ETIME), ("oneadmin", "oneadmin", 0, 0), "a VM on hold")
    equal((info.TEMPLATE["CPU"], info.TEMPLATE["MEMORY"], info.TEMPLATE["VCPU"]), ("0.01", "16", "1"), "its capacity")
    equal((info.TEMPLATE["VMID"], info.USER_TEMPLATE["NOTE"]), (str(vm), "n"), "who owns which attribute")
    equal(info.TEMPLATE["CONTEXT"]["GREETING"], "hello", "the context")
    equal(one.vm.action("release", vm), vm, "an action answers the id")
    info = cloud.vm_state(vm, 3, 3)
    history = info.HISTORY_RECORDS.HISTORY
    equal((len(history), history[0].SEQ, history[0].ETIME), (1, 0, 0), "one open record")
    assert history[0].HOSTNAME and history[0].RSTIME > 0, "where it runs and since when"
    refused(pyone.OneActionException, one.vm.action, "resume", vm)
    refused(pyone.OneActionException, one.vm.action, "explode", vm, says="not supported")
    for action, state, back in (
        ("suspend", 5, "resume"),
        ("stop", 4, "resume"),
        ("poweroff", 8, "resume"),
        ("poweroff-hard", 8, "resume"),
        ("undeploy", 9, "resume"),
        ("undeploy-hard", 9, "resume"),
    ):
        one.vm.action(action, vm)
        cloud.vm_state(vm, state)
        refused(pyone.OneActionException, one.vm.action, "reboot", vm)
        one.vm.action(back, vm)
        cloud.vm_state(vm, 3, 3)
    for action in ("reboot", "reboot-hard"):
        one.vm.action(action, vm)
        cloud.vm_state(vm, 3, 3)
    one.vm.action("terminate", vm)
    info = cloud.vm_state(vm, 6)
    assert info.ETIME >= info.STIME > 0, "when it ended"
    assert vm not in ids(one.vmpool.info(-2, -1, -1, -1), "VM"), "the ended are not listed"
    assert vm in ids(one.vmpool.info(-2, vm, vm, -2), "VM"), "unless they are asked for"
    assert vm in ids(one.vmpool.info(-2, -1, -1, 6), "VM"), "by their state"
    one.vm.action("terminate-hard", vm)
    refused(pyone.OneActionException, one.vm.action, "resume", vm)


@case
def a_vm_without_a_place_waits_and_says_why(cloud):
    one = cloud.admin
    vm = cloud.vm('SCHED_REQUIREMENTS="NAME = \\"nowhere\\""', state=(1, 0))
    cloud.wait("the reason", lambda: one.vm.info(vm).USER_TEMPLATE, lambda it: it.get("SCHED_MESSAGE"))
    one.vm.action("hold", vm)
    cloud.vm_state(vm, 2)
    one.vm.action("release", vm)
    cloud.vm_state(vm, 1)
    one.vm.update(vm, f'SCHED_REQUIREMENTS="ID = {cloud.hosts()[1]}"', 1)
    info = cloud.vm_state(vm, 3, 3)
    equal(info.HISTORY_RECORDS.HISTORY[-1].HID, cloud.hosts()[1], "the host that is required")
    cloud.end(vm)


@case
def vms_are_deployed_and_moved(cloud):
    one = cloud.admin
    first, second = cloud.hosts()
    vm = cloud.vm(hold=True)
    equal(one.vm.deploy(vm, first), vm, "deploy answers the id")
    info = cloud.vm_state(vm, 3, 3)
    equal(info.HISTORY_RECORDS.HISTORY[-1].HID, first, "the host")
    refused(pyone.OneActionException, one.vm.deploy, vm, second)
    one.vm.migrate(vm, second, False, False, -1, 1)
    info = cloud.wait(
        "the other host",
        lambda: one.vm.info(vm),
        lambda it: (it.STATE, it.LCM_STATE) == (3, 3) and it.HISTORY_RECORDS.HISTORY[-1].HID == second,
    )
    history = info.HISTORY_RECORDS.HISTORY
    equal([it.SEQ for it in history], [0, 1], "two records")
    assert history[0].ETIME > 0 and history[0].ACTION != 0, "the first one is closed, with what closed it"
    refused(pyone.OneException, one.vm.migrate, vm, 99999, False)
    one.vm.action("poweroff-hard", vm)
    cloud.vm_state(vm, 8)
    one.vm.migrate(vm, first, False)
    cloud.wait(
        "the first host", lambda: one.vm.info(vm), lambda it: it.STATE == 8 and it.HISTORY_RECORDS.HISTORY[-1].HID == first
    )
    one.vm.action("resume", vm)
    cloud.vm_state(vm, 3, 3)
    one.vm.action("resched", vm)
    one.vm.action("unresched", vm)
    equal(one.vm.info(vm).RESCHED, 0, "not to be placed anew")
    cloud.vm_state(vm, 3, 3)
    cloud.end(vm)


@case
def vms_are_recovered(cloud):
    one = cloud.admin
    vm = cloud.vm()
    refused(pyone.OneActionException, one.vm.recover, vm, 1)
    refused(pyone.OneException, one.vm.recover, vm, 9)
    one.vm.recover(vm, 4)
    cloud.wait(
        "the VM made anew",
        lambda: one.vm.info(vm),
        lambda it: (it.STATE, it.LCM_STATE) == (3, 3) and len(it.HISTORY_RECORDS.HISTORY) == 2,
    )
    one.vm.recover(vm, 3)
    cloud.vm_state(vm, 6)


@case
def templates_become_vms(cloud):
    one = cloud.admin
    image, network = cloud.image(), cloud.network()
    template = one.template.allocate(
        f'NAME="{cloud.fresh("web")}"\nCPU=0.01\nMEMORY=16\nDISK=[IMAGE_ID={image}]\nNIC=[NETWORK_ID={network}]\n'
        'CONTEXT=[NETWORK="YES",WHO="$NAME"]\nNOTE="t"'
    )
    cloud.hosts()
    unnamed = one.template.instantiate(template, "", True)
    equal(one.vm.info(unnamed).NAME, f"{one.template.info(template).NAME}-{unnamed}", "the name made of the template's")
    vm = one.template.instantiate(template, cloud.fresh("vm"), False, 'NOTE="v"\nMEMORY=32', False)
    info = cloud.vm_state(vm, 3, 3)
    equal((info.TEMPLATE["TEMPLATE_ID"], info.TEMPLATE["MEMORY"]), (str(template), "32"), "template and override")
    equal(info.USER_TEMPLATE["NOTE"], "v", "an attribute given anew")
    disk, nic, context = (info.TEMPLATE[name] for name in ("DISK", "NIC", "CONTEXT"))
    equal((disk["DISK_ID"], disk["IMAGE_ID"], disk["SIZE"]), ("0", str(image), "64"), "the disk")
    equal((nic["NIC_ID"], nic["NETWORK_ID"]), ("0", str(network)), "the card")
    equal((context["WHO"], context["ETH0_IP"], context["ETH0_MAC"]), (info.NAME, nic["IP"], nic["MAC"]), "the context")
    named = one.template.instantiate(template, "named", True)
    equal((one.vm.info(named).NAME, one.vm.info(named).STATE), ("named", 2), "a name and hold")
    kept = one.template.instantiate(template, cloud.fresh("kept"), False, "", True)
    info = cloud.vm_state(kept, 3, 3)
    own = int(info.TEMPLATE["DISK"]["IMAGE_ID"])
    assert own != image, "a persistent copy has images of its own"
    equal(one.image.info(own).PERSISTENT, 1, "and they are persistent")
    cloud.end(vm, unnamed, named, kept)
    refused(pyone.OneNoExistsException, one.template.instantiate, 99999, "x")
    one.template.delete(template)


@case
def templates_are_not_a_way_around_rights(cloud):
    one = cloud.admin
    image, network = cloud.image(), cloud.network()
    _, tenant = cloud.tenant("sly", [cloud.outside()])
    one.vn.chmod(network, 1, 1, 0, 0, 0, 0, 0, 0, 0)
    for text in (f"DISK=[IMAGE_ID={image}]", f"NIC=[NETWORK_ID={network}]"):
        refused(pyone.OneException, tenant.vm.allocate, f"CPU=0.01\nMEMORY=16\n{text}", True)
        template = tenant.template.allocate(f'NAME="{cloud.fresh("sly")}"\nCPU=0.01\nMEMORY=16\n{text}')
        refused(pyone.OneException, tenant.template.instantiate, template, "x", True)
    refused(pyone.OneAuthorizationException, tenant.vm.allocate, 'CPU=1\nMEMORY=16\nRAW=[TYPE="kvm",DATA="<a/>"]', True)
    one.image.delete(image)
    one.vn.delete(network)


@case
def vm_lists_have_three_forms(cloud):
    one = cloud.admin
    vms = [cloud.vm('LABELS="a,b"', hold=True) for _ in range(3)]
    short = {it.ID: it for it in one.vmpool.info(-2, vms[0], vms[-1], -1).VM}
    full = {it.ID: it for it in one.vmpool.infoextended(-2, vms[0], vms[-1], -1).VM}
    long, brief = (one.text(f"one.vmpool.{form}", -2, vms[0], vms[-1], -1) for form in ("infoextended", "info"))
    equal(sorted(short), vms, "the short list")
    equal(sorted(full), vms, "the full list")
    it = short[vms[0]]
    equal((it.STATE, it.TEMPLATE["MEMORY"], it.USER_TEMPLATE["LABELS"]), (2, "16", "a,b"), "a VM in the short list")
    # pyone has one class for the VMs of both lists, without permissions.
    equal((long.count("<PERMISSIONS>"), brief.count("<PERMISSIONS>")), (3, 0), "permissions are in the full list")
    some = one.vmpool.infoset(f"{vms[2]},{vms[0]},4000000", False)
    equal(sorted(ids(some, "VM")), [vms[0], vms[2]], "a set of VMs")
    assert "<PERMISSIONS>" in one.text("one.vmpool.infoset", str(vms[1]), True), "a set in full"
    equal(ids(one.vmpool.info(-2, -1, -1, 2), "VM")[:3], sorted(vms, reverse=True), "by state, newest first")
    refused(pyone.OneApiException, one.vmpool.info, -2, -1, -1, 99)
    refused(pyone.OneApiException, one.vmpool.info, -9, -1, -1, -1)
    cloud.end(*vms)


@case
def what_was_used_is_on_record(cloud):
    one = cloud.admin
    uid, tenant = cloud.tenant("accounted")
    cloud.hosts()
    vm = tenant.vm.allocate("CPU=0.5\nMEMORY=16", False)
    cloud.vm_state(vm, 3, 3)
    records = tenant.vmpool.accounting(-2, -1, -1).HISTORY
    equal([it.OID for it in records], [vm], "a tenant sees the own records")
    equal(records[0].VM.TEMPLATE["CPU"], "0.5", "with the VM")
    assert vm in [it.OID for it in one.vmpool.accounting(uid, -1, -1).HISTORY], "filtered by user"
    now = time.gmtime()
    equal(one.vmpool.calculateshowback(1, now.tm_year, now.tm_mon, now.tm_year), " ", "one blank")
    refused(pyone.OneAuthorizationException, tenant.vmpool.calculateshowback, -1, -1, -1, -1)
    shown = tenant.vmpool.showback(-2, -1, -1, -1, -1).SHOWBACK
    assert all(it.UID == uid for it in shown), "a tenant sees the own costs"
    one.vm.monitoring(vm)
    tenant.vmpool.monitoring(-2, 0)
    one.vmpool.monitoring(-2, -1)
    cloud.end(vm)


@case
def actions_are_scheduled(cloud):
    one = cloud.admin
    vm = cloud.vm()
    later = int(time.time()) + 86400
    number = one.vm.schedadd(vm, f'SCHED_ACTION=[ACTION="poweroff",TIME="{later}",REPEAT="3",DAYS="1",END_TYPE="0"]')
    actions = several(one.vm.info(vm).TEMPLATE["SCHED_ACTION"])
    equal((actions[0]["ID"], actions[0]["ACTION"], actions[0]["REPEAT"]), (str(number), "poweroff", "3"), "the action")
    one.vm.schedupdate(vm, number, f'SCHED_ACTION=[ACTION="poweroff",TIME="{later + 60}"]')
    equal(one.vm.info(vm).TEMPLATE["SCHED_ACTION"]["TIME"], str(later + 60), "the new time")
    one.vm.scheddelete(vm, number)
    assert "SCHED_ACTION" not in one.vm.info(vm).TEMPLATE, "no action is left"
    refused(pyone.OneException, one.vm.schedadd, vm, 'SCHED_ACTION=[ACTION="dance",TIME="1"]')
    one.vm.schedadd(vm, f'SCHED_ACTION=[ACTION="poweroff-hard",TIME="{int(time.time()) - 1}"]')
    cloud.vm_state(vm, 8)
    cloud.end(vm)
