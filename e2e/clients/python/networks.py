"""Virtual networks, address ranges, reservations, network templates and security groups."""

import pyone

from harness import NAME, case, equal, ids, refused


def leases(info):
    """Who holds which address."""
    found = {}
    for area in info.AR_POOL.AR:
        for lease in area.LEASES.LEASE if area.LEASES else []:
            found[lease.IP] = lease
    return found


@case
def networks_are_made_changed_and_deleted(cloud):
    one = cloud.admin
    name = cloud.fresh(NAME)
    text = (
        f'NAME="{name}"\nVN_MAD="bridge"\nBRIDGE="br-x"\nDNS="10.9.0.1"\nGATEWAY="10.9.0.1"\nNETWORK_ADDRESS="10.9.0.0"\n'
        'NETWORK_MASK="255.255.255.0"\nGUEST_MTU="1400"\nNOTE="a"\n'
        'AR=[TYPE="IP4",IP="10.9.0.10",SIZE="10"]\nAR=[TYPE="ETHER",SIZE="5",MAC="02:00:aa:bb:cc:01"]'
    )
    network = one.vn.allocate(text, -1)
    info = cloud.wait("the network", lambda: one.vn.info(network), lambda it: it.STATE == 1)
    equal((info.NAME, info.VN_MAD, info.BRIDGE, info.USED_LEASES), (name, "bridge", "br-x", 0), "the network")
    areas = info.AR_POOL.AR
    equal([(it.TYPE, str(it.SIZE), it.IP) for it in areas], [("IP4", "10", "10.9.0.10"), ("ETHER", "5", None)], "ranges")
    equal(areas[0].MAC, "02:00:0a:09:00:0a", "the first MAC address follows from the IP address")
    equal((info.TEMPLATE["DNS"], info.TEMPLATE["GUEST_MTU"]), ("10.9.0.1", "1400"), "what guests are told")
    before = dict(info.TEMPLATE)
    one.vn.update(network, 'NOTE="b"\nMORE="c"', 1)
    after = dict(one.vn.info(network).TEMPLATE)
    equal(after, {**before, "NOTE": "b", "MORE": "c"}, "appending keeps the rest")
    refused(pyone.OneException, one.vn.allocate, f'NAME="{name}"\nVN_MAD=bridge\nBRIDGE=br-y', -1)
    refused(pyone.OneException, one.vn.allocate, f'NAME="{cloud.fresh("n")}"\nVN_MAD=bridge\nAR=[TYPE=IP4,SIZE=0]', -1)
    assert network in ids(one.vnpool.info(-2, -1, -1), "VNET")
    refused(pyone.OneActionException, one.vn.recover, network, 1)
    refused(pyone.OneApiException, one.vn.recover, network, 9)
    one.vn.recover(network, 2)
    cloud.wait("the network to go", lambda: ids(one.vnpool.info(-2, -1, -1), "VNET"), lambda it: network not in it)
    refused(pyone.OneNoExistsException, one.vn.info, network, says=f"Error getting virtual network [{network}].")


@case
def ranges_and_leases(cloud):
    one = cloud.admin
    network = cloud.network()
    ip = one.vn.info(network).AR_POOL.AR[0].IP
    stem = ip.rsplit(".", 1)[0]
    one.vn.add_ar(network, f'AR=[TYPE=IP4,IP={stem}.100,SIZE=5]')
    numbers = [int(it.AR_ID) for it in one.vn.info(network).AR_POOL.AR]
    equal(numbers, [0, 1], "two ranges")
    one.vn.update_ar(network, "AR=[AR_ID=1,SIZE=8]")
    equal(str(one.vn.info(network).AR_POOL.AR[1].SIZE), "8", "a larger range")
    one.vn.hold(network, f"LEASES=[IP={stem}.101]")
    equal(one.vn.info(network).USED_LEASES, 1, "an address put aside")
    equal(leases(one.vn.info(network))[f"{stem}.101"].VM, -1, "nobody holds it")
    refused(pyone.OneException, one.vn.hold, network, f"LEASES=[IP={stem}.101]")
    one.vn.release(network, f"LEASES=[IP={stem}.101]")
    vm = cloud.vm(f"NIC=[NETWORK_ID={network},IP={stem}.102]")
    equal(leases(one.vn.info(network))[f"{stem}.102"].VM, vm, "the VM holds its address")
    refused(pyone.OneActionException, one.vn.rm_ar, network, 1)
    refused(pyone.OneActionException, one.vn.delete, network)
    cloud.end(vm)
    one.vn.rm_ar(network, 1)
    equal(len(one.vn.info(network).AR_POOL.AR), 1, "one range is left")
    one.vn.delete(network)


@case
def parts_of_networks_are_reserved(cloud):
    one = cloud.admin
    network = cloud.network(size=30)
    uid, tenant = cloud.tenant("reserver")
    one.vn.chmod(network, 1, 1, 0, 1, 0, 0, 1, 0, 0)
    name = cloud.fresh("mine")
    part = tenant.vn.reserve(network, f'SIZE=5\nNAME="{name}"')
    info = tenant.vn.info(part)
    equal((info.NAME, info.UID, str(info.PARENT_NETWORK_ID)), (name, uid, str(network)), "the reservation")
    equal(one.vn.info(network).USED_LEASES, 5, "the parent lends five addresses")
    equal(tenant.vn.reserve(network, f"SIZE=2\nNETWORK_ID={part}"), part, "more of the same")
    areas = [int(it.AR_ID) for it in tenant.vn.info(part).AR_POOL.AR]
    equal(len(areas), 2, "two ranges")
    tenant.vn.free_ar(part, areas[1])
    equal(len(tenant.vn.info(part).AR_POOL.AR), 1, "one range is given back")
    refused(pyone.OneException, tenant.vn.reserve, network, f'SIZE=500\nNAME="{cloud.fresh("x")}"')
    tenant.vn.delete(part)
    equal(one.vn.info(network).USED_LEASES, 0, "all is given back")
    one.vn.delete(network)


@case
def networks_are_made_of_templates(cloud):
    one = cloud.admin
    template = one.vntemplate.allocate(f'NAME="{cloud.fresh("nt")}"\nVN_MAD=bridge\nBRIDGE=br-t\nNOTE="a"')
    network = one.vntemplate.instantiate(template, cloud.fresh("made"), "AR=[TYPE=IP4,IP=10.8.0.1,SIZE=4]\nNOTE=b")
    info = cloud.wait("the network", lambda: one.vn.info(network), lambda it: it.STATE == 1)
    equal((str(info.TEMPLATE_ID), info.TEMPLATE["NOTE"]), (str(template), "b"), "the network of the template")
    copy = one.vntemplate.clone(template, cloud.fresh("copy"))
    assert {template, copy} <= set(ids(one.vntemplatepool.info(-2, -1, -1), "VNTEMPLATE"))
    one.vn.delete(network)
    one.vntemplate.delete(copy)
    one.vntemplate.delete(template)
    refused(pyone.OneNoExistsException, one.vntemplate.info, template)


@case
def security_groups_have_rules(cloud):
    one = cloud.admin
    text = (
        f'NAME="{cloud.fresh("sg")}"\nDESCRIPTION="web"\n'
        'RULE=[PROTOCOL="TCP",RULE_TYPE="INBOUND",RANGE="22,80:90"]\nRULE=[PROTOCOL="ALL",RULE_TYPE="OUTBOUND"]'
    )
    group = one.secgroup.allocate(text)
    rules = one.secgroup.info(group).TEMPLATE["RULE"]
    equal(
        [(it["PROTOCOL"], it["RULE_TYPE"]) for it in rules], [("TCP", "INBOUND"), ("ALL", "OUTBOUND")], "the rules"
    )
    equal(rules[0]["RANGE"], "22,80:90", "the ports")
    network = cloud.network(extra=f'SECURITY_GROUPS="{group}"')
    vm = cloud.vm(f"NIC=[NETWORK_ID={network}]")
    equal(one.vm.info(vm).TEMPLATE["NIC"]["SECURITY_GROUPS"], str(group), "the card's groups")
    refused(pyone.OneActionException, one.secgroup.delete, group)
    one.secgroup.update(group, 'RULE=[PROTOCOL="UDP",RULE_TYPE="INBOUND",RANGE="53"]\nNOTE="n"', 1)
    one.secgroup.commit(group, False)
    cloud.wait(
        "the VM to have the new rules",
        lambda: one.secgroup.info(group),
        lambda it: list(it.UPDATED_VMS.ID) == [vm] and not it.OUTDATED_VMS.ID and not it.UPDATING_VMS.ID,
    )
    copy = one.secgroup.clone(group, cloud.fresh("copy"))
    assert {group, copy, 0} <= set(ids(one.secgrouppool.info(-2, -1, -1), "SECURITY_GROUP"))
    cloud.end(vm)
    one.vn.delete(network)
    for it in (group, copy):
        one.secgroup.delete(it)
        refused(pyone.OneNoExistsException, one.secgroup.info, it, says=f"Error getting security group [{it}].")
    refused(pyone.OneException, one.secgroup.allocate, f'NAME="{cloud.fresh("sg")}"\nRULE=[PROTOCOL=TCPP,RULE_TYPE=INBOUND]')
