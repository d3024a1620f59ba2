"""A tenant without rights calls every method with the ids of other people's objects: isolation.py.

No call may be answered with success, apart from lists, which must then not name anything of others, and from making
things of one's own. No call may be a fault: a fault is a mistake of the door or of this program. Afterwards everything
of the others is exactly as before. And for every user, lists and `info` agree.
"""

import re
import sys
import xmlrpc.client

from pyone.acl import OneAcl

import harness

CHMOD = (1,) * 9
SECRET = "not-for-strangers"

# The parameters of each method after the session. Words in braces stand for objects of others, `own.` for the
# tenant's own. `*` is the owner's choice of permissions.
CALLS = """
acl.addrule "100000000" "2400000000" "1"
acl.delrule 0
acl.info
cluster.allocate "c"
cluster.adddatastore {cluster} {datastore}
cluster.addhost {cluster} {host}
cluster.addvnet {cluster} {vn}
cluster.deldatastore {cluster} {datastore}
cluster.delete {cluster}
cluster.delhost {cluster} {host}
cluster.delvnet {cluster} {vn}
cluster.optimize {cluster}
cluster.plandelete {cluster}
cluster.planexecute {cluster}
datastore.allocate "NAME=d" -1
datastore.enable {datastore} false
document.clone {document} "copy"
group.addadmin {group} {me}
group.allocate "g"
group.deladmin {group} {user}
group.quota {group} "VM=[VMS=1]"
group.vlan {group} "RULE=[ID=1]"
groupquota.update "VM=[VMS=1]"
host.allocate "h" "dummy" "dummy" -1
host.monitoring {host}
host.status {host} 1
image.allocate "NAME=i\\nTYPE=DATABLOCK\\nSIZE=1" {datastore}
image.chtype {image} "OS"
image.clone {image} "copy"
image.enable {image} false
image.persistent {image} true
image.restore {image} 1 ""
image.snapshotdelete {image} 0
image.snapshotflatten {image} 0
image.snapshotrevert {image} 0
secgroup.clone {secgroup} "copy"
secgroup.commit {secgroup} false
template.clone {template} "copy"
template.clone {template} "copy" true
template.delete {template} true
template.instantiate {template} "x" true "" false
template.instantiate {template} "x" true "" true
user.addgroup {me} {group}
user.addgroup {user} 1
user.allocate "u" "secret" "core"
user.chauth {user} "core" "stolen"
user.chgrp {me} {group}
user.chgrp {user} 1
user.delgroup {user} {group}
user.enable {user} false
user.login "{victim}" "" 100 -1
user.login "oneadmin" "" 100 -1
user.passwd {user} "stolen"
user.quota {user} "VM=[VMS=1]"
user.quota {me} "VM=[VMS=-2]"
userquota.update "VM=[VMS=1]"
vdc.addcluster {vdc} 0 {cluster}
vdc.adddatastore {vdc} 0 {datastore}
vdc.addgroup {vdc} 1
vdc.addhost {vdc} 0 {host}
vdc.addvnet {vdc} 0 {vn}
vdc.allocate "NAME=v"
vdc.delcluster {vdc} 0 {cluster}
vdc.deldatastore {vdc} 0 {datastore}
vdc.delgroup {vdc} {group}
vdc.delhost {vdc} 0 {host}
vdc.delvnet {vdc} 0 {vn}
vm.action "terminate-hard" {vm}
vm.action "poweroff" {vm}
vm.action "hold" {vm}
vm.action "resched" {own.vm}
vm.allocate "CPU=1\\nMEMORY=16\\nDISK=[IMAGE_ID={image}]" true
vm.allocate "CPU=1\\nMEMORY=16\\nDISK=[IMAGE=\\"{image_name}\\",IMAGE_UNAME=\\"{victim}\\"]" true
vm.allocate "CPU=1\\nMEMORY=16\\nNIC=[NETWORK_ID={vn}]" true
vm.allocate "CPU=1\\nMEMORY=16\\nNIC=[NETWORK=\\"{vn_name}\\",NETWORK_UNAME=\\"{victim}\\"]" true
vm.allocate "CPU=1\\nMEMORY=16\\nVMGROUP=[VMGROUP_ID={vmgroup},ROLE=a]" true
vm.allocate "CPU=1\\nMEMORY=16\\nAS_UID={user}" true
vm.attach {vm} "DISK=[TYPE=fs,SIZE=1]"
vm.attach {own.vm} "DISK=[IMAGE_ID={image}]"
vm.attachnic {vm} "NIC=[NETWORK_ID={vn}]"
vm.attachnic {own.vm} "NIC=[NETWORK_ID={vn}]"
vm.attachpci {vm} "PCI=[CLASS=0300]"
vm.attachsg {vm} 0 {secgroup}
vm.attachsg {own.vm} 0 {secgroup}
vm.backup {vm} -1 false
vm.backupcancel {vm}
vm.cancelexec {vm}
vm.deploy {vm} {host}
vm.deploy {own.vm} {host}
vm.detach {vm} 0
vm.detachnic {vm} 0
vm.detachpci {vm} 0
vm.detachsg {vm} 0 {secgroup}
vm.diskresize {vm} 0 "999"
vm.disksaveas {vm} 0 "stolen" "" -1
vm.disksnapshotcreate {vm} 0 "s"
vm.disksnapshotdelete {vm} 0 0
vm.disksnapshotrename {vm} 0 0 "s"
vm.disksnapshotrevert {vm} 0 0
vm.exec {vm} "id" ""
vm.migrate {vm} {host} false
vm.migrate {own.vm} {host} false
vm.monitoring {vm}
vm.recover {vm} 3
vm.recover {own.vm} 3
vm.resize {vm} "MEMORY=32" true
vm.restore {vm} {image} -1 -1
vm.retryexec {vm}
vm.schedadd {vm} "SCHED_ACTION=[ACTION=terminate-hard,TIME=1]"
vm.scheddelete {vm} 0
vm.schedupdate {vm} 0 "SCHED_ACTION=[ACTION=terminate-hard,TIME=1]"
vm.snapshotcreate {vm} "s"
vm.snapshotdelete {vm} 0
vm.snapshotrevert {vm} 0
vm.updateconf {vm} "CONTEXT=[A=1]" 1
vm.updatenic {vm} 0 "NIC=[A=1]" 1
vm.vmgroupadd {vm} {vmgroup} "a"
vm.vmgroupadd {own.vm} {vmgroup} "a"
vm.vmgroupdel {vm}
vmgroup.roleadd {vmgroup} "ROLE=[NAME=b]"
vmgroup.roledelete {vmgroup} 0
vmgroup.roleupdate {vmgroup} 0 "ROLE=[NAME=b]"
vmpool.calculateshowback 1 2026 2 2026
vn.add_ar {vn} "AR=[TYPE=ETHER,SIZE=1]"
vn.allocate "NAME=n\\nVN_MAD=bridge\\nBRIDGE=b" -1
vn.free_ar {vn} 0
vn.hold {vn} "LEASES=[IP={ip}]"
vn.recover {vn} 2
vn.release {vn} "LEASES=[IP={ip}]"
vn.reserve {vn} "SIZE=1\\nNAME=r"
vn.rm_ar {vn} 0 true
vn.update_ar {vn} "AR=[AR_ID=0,SIZE=1]"
vntemplate.clone {vntemplate} "copy"
vntemplate.instantiate {vntemplate} "x" ""
zone.addserver 0 "SERVER=[NAME=s]"
zone.allocate "NAME=z"
zone.delete 0
zone.delserver 0 0
zone.enable 0 false
zone.rename 0 "z"
zone.resetserver 0 0
zone.update 0 "A=1" 1
"""

# The same for every noun that has the verb.
VERBS = """
info {id}
update {id} "A=1" 1
update {id} "" 0
rename {id} "stolen"
chmod {id} *
chown {id} {me} 1
lock {id} 4 false
unlock {id}
delete {id}
"""

# Lists, and calls that make or tell something of one's own: success is right, and must not tell of others.
OPEN = """
clusterpool.info
datastorepool.info
document.allocate "NAME=own" 100
documentpool.info -2 -1 -1 100
grouppool.info
groupquota.info
hostpool.info
hostpool.monitoring -1
image.allocate "NAME=own\\nTYPE=DATABLOCK\\nSIZE=1" 1
imagepool.info -2 -1 -1
secgroup.allocate "NAME=own\\nRULE=[PROTOCOL=TCP,RULE_TYPE=INBOUND]"
secgrouppool.info -2 -1 -1
system.config
system.version
template.allocate "NAME=own"
templatepool.info -2 -1 -1
user.info -1
user.login "{tenant}" "" 100 -1
userpool.info
userquota.info
vdcpool.info
vm.allocate "CPU=0.01\\nMEMORY=16" true
vm.allocate "CPU=0.01\\nMEMORY=16\\nCONTEXT=[FILES_DS=\\"$FILE[IMAGE_ID={image}]\\",A=\\"$NETWORK[NOTE, NETWORK_ID={vn}]$IMAGE[NOTE, IMAGE_ID={image}]\\"]" true
vmgroup.allocate "NAME=own\\nROLE=[NAME=a]"
vmgrouppool.info -2 -1 -1
vmpool.accounting -2 -1 -1
vmpool.info -2 -1 -1 -2
vmpool.infoextended -2 -1 -1 -2
vmpool.infoset "{vm}" true
vmpool.monitoring -2 -1
vmpool.showback -2 -1 -1 -1 -1
vnpool.info -2 -1 -1
vntemplate.allocate "NAME=own\\nVN_MAD=bridge"
vntemplatepool.info -2 -1 -1
zone.info 0
zone.raftstatus
zonepool.info
"""

NOUNS = {
    "vm": "VM",
    "image": "IMAGE",
    "template": "VMTEMPLATE",
    "vn": "VNET",
    "vntemplate": "VNTEMPLATE",
    "secgroup": "SECURITY_GROUP",
    "vmgroup": "VM_GROUP",
    "document": "DOCUMENT",
    "host": "HOST",
    "cluster": "CLUSTER",
    "datastore": "DATASTORE",
    "user": "USER",
    "group": "GROUP",
    "vdc": "VDC",
    "zone": "ZONE",
}


class Door:
    """Raw calls, so that codes and faults are seen as they are."""

    def __init__(self, endpoint, session):
        self.proxy = xmlrpc.client.ServerProxy(endpoint, encoding="utf-8")
        self.session = session

    def call(self, method, *arguments):
        """Success, value or message, code. A fault is raised."""
        function = self.proxy
        for part in method.split("."):
            function = getattr(function, part)
        return function(self.session, *arguments)[:3]

    def must(self, method, *arguments):
        """The value of a call that has to work."""
        success, value, code = self.call(method, *arguments)
        if not success:
            raise AssertionError(f"{method}{arguments}: {code} {value}")
        return value


def arguments(line, objects):
    """The method and the parameters that a line of the tables says."""
    method, _, rest = line.partition(" ")
    found = []
    for word in re.findall(r'"(?:\\.|[^"\\])*"|\S+', rest):
        word = re.sub(r"\{([a-z_.]+)\}", lambda m: str(objects[m.group(1)]), word)
        if word == "*":
            found += CHMOD
        elif word in ("true", "false"):
            found.append(word == "true")
        elif word.startswith('"'):
            found.append(word[1:-1].replace("\\n", "\n").replace('\\"', '"'))
        else:
            found.append(int(word))
    return "one." + method, found


def possessions(cloud, admin):
    """Objects of a user and of the administrator that a stranger has no business with."""
    uid, owner = cloud.tenant("victim")
    victim = owner.session.split(":")[0]
    o = Door(cloud.endpoint, owner.session)
    have = {"user": uid, "victim": victim}
    note = f'NOTE="{SECRET}"'

    def own(noun, text, *more):
        if f"one.{noun}.allocate" in cloud.done:
            have[noun] = o.must(f"one.{noun}.allocate", f"{text}\n{note}", *more)

    have["image_name"], have["vn_name"] = cloud.fresh(SECRET), cloud.fresh(SECRET)
    own("image", f'NAME="{have["image_name"]}"\nTYPE=DATABLOCK\nSIZE=8', 1)
    cloud.image_state(have["image"], 1)
    have["vn"] = cloud.admin.vn.allocate(
        f'NAME="{have["vn_name"]}"\nVN_MAD=bridge\nBRIDGE=eth0\nAR=[TYPE=IP4,IP=10.99.0.1,SIZE=9]\n{note}', -1
    )
    have["ip"] = "10.99.0.5"
    cloud.wait("the network", lambda: cloud.admin.vn.info(have["vn"]), lambda it: it.STATE == 1)
    admin.must("one.vn.chown", have["vn"], uid, -1)
    own("template", f'NAME="{cloud.fresh(SECRET)}"\nCPU=1\nMEMORY=16\nDISK=[IMAGE_ID={have["image"]}]')
    have["vntemplate"] = cloud.admin.vntemplate.allocate(f'NAME="{cloud.fresh(SECRET)}"\nVN_MAD=bridge\n{note}')
    admin.must("one.vntemplate.chown", have["vntemplate"], uid, -1)
    own("secgroup", f'NAME="{cloud.fresh(SECRET)}"\nRULE=[PROTOCOL=TCP,RULE_TYPE=INBOUND]')
    own("vmgroup", f'NAME="{cloud.fresh(SECRET)}"\nROLE=[NAME=a]')
    own("document", f'NAME="{cloud.fresh(SECRET)}"', 100)
    have["vm"] = o.must(
        "one.vm.allocate",
        f'NAME="{cloud.fresh(SECRET)}"\nCPU=0.01\nMEMORY=16\nDISK=[IMAGE_ID={have["image"]}]\n'
        f'NIC=[NETWORK_ID={have["vn"]},SECURITY_GROUPS="0"]\n{note}',
    )
    cloud.hosts()
    cloud.vm_state(have["vm"], 3, 3)
    have["cluster"] = admin.must("one.cluster.allocate", cloud.fresh(SECRET))
    have["host"] = cloud.host(SECRET, have["cluster"])
    have["datastore"] = admin.must("one.datastore.allocate", f'NAME="{cloud.fresh(SECRET)}"\nDS_MAD=fs\nTM_MAD=local', 0)
    have["group"] = admin.must("one.group.allocate", cloud.fresh(SECRET))
    have["vdc"] = admin.must("one.vdc.allocate", f'NAME="{cloud.fresh(SECRET)}"')
    return have, owner


def pictures(admin, have, done):
    """Everything of the others as the administrator sees it, without what time changes by itself."""
    shown = {}
    for noun in NOUNS:
        if noun in have and f"one.{noun}.info" in done:
            text = admin.must(f"one.{noun}.info", have[noun])
            text = re.sub(r"<MONITORING>.*?</MONITORING>|<(LAST_POLL|(TOTAL|FREE|USED)_MB)>\d+</\1>", "", text, flags=re.S)
            shown[noun] = re.sub(r"<LOGIN_TOKEN>.*?</LOGIN_TOKEN>", "", text, flags=re.S)
    return shown


def main():
    cloud = harness.connect()
    admin = Door(cloud.endpoint, cloud.admin.session)
    have, owner = possessions(cloud, admin)
    outside = admin.must("one.group.allocate", cloud.fresh("outside"))
    uid, tenant = cloud.tenant("stranger", [outside])
    stranger = Door(cloud.endpoint, tenant.session)
    # What the tenant's own things are made of.
    have |= {"me": uid, "tenant": tenant.session.split(":")[0]}
    network = cloud.network()
    admin.must("one.vn.chmod", network, 1, 1, 0, 0, 0, 0, 1, 0, 0)
    kinds = "VM+IMAGE+TEMPLATE+DOCUMENT+SECGROUP+VMGROUP+VNTEMPLATE"
    admin.must("one.acl.addrule", *OneAcl().parse_rule(f"@{outside} {kinds}/* CREATE"))
    if re.search(rf"<GROUPS>.*<ID>{outside}</ID>.*</GROUPS>", admin.must("one.vdc.info", 0)):
        # The first VDC opens hosts, networks and datastores to its groups; this one is to see none of them.
        admin.must("one.vdc.delgroup", 0, outside)
    own = stranger.must("one.vm.allocate", f"CPU=0.01\nMEMORY=16\nNIC=[NETWORK_ID={network}]", True)
    have["own.vm"] = own

    before = pictures(admin, have, cloud.done)
    complaints, tried = [], set()

    def attempt(line, objects, opened):
        method, values = arguments(line, objects)
        if method not in cloud.done:
            return
        tried.add(method)
        try:
            success, value, code = stranger.call(method, *values)
        except xmlrpc.client.Fault as fault:
            complaints.append(f"{method} {values}: fault {fault.faultCode} {fault.faultString}")
            return
        except xmlrpc.client.ProtocolError as error:
            complaints.append(f"{method} {values}: {error}")
            return
        if success and not opened:
            complaints.append(f"{method} {values} was answered with success: {str(value)[:200]}")
        elif success and opened and SECRET in str(value):
            at = str(value).index(SECRET)
            complaints.append(f"{method} {values} tells of others: ...{str(value)[max(0, at - 200) : at + 60]}")
        elif not success and SECRET in str(value) and SECRET not in str(values):
            complaints.append(f"{method} {values}: the refusal tells a name or a note of others: {value}")
        elif not success and code == 0x2000:
            complaints.append(f"{method} {values}: an internal error: {value}")

    for line in CALLS.strip().splitlines():
        attempt(line, have, False)
    for noun in NOUNS:
        if noun == "zone":
            continue
        for line in VERBS.strip().splitlines():
            attempt(f"{noun}.{line}", have | {"id": have.get(noun, 0)}, False)
    for line in OPEN.strip().splitlines():
        attempt(line, have, True)

    # Whatever the tenant's own VMs were made of, they do not show what belongs to others.
    for form in ("one.vmpool.infoextended", "one.templatepool.info"):
        text = stranger.must(form, *((-3, -1, -1, -2) if "vmpool" in form else (-3, -1, -1)))
        if f'[CDATA[{SECRET}' in text:
            complaints.append(f"{form} shows what belongs to others: {text}")
    after = pictures(admin, have, cloud.done)
    complaints += [f"{noun} {have[noun]} changed:\n  {before[noun]}\n  {after[noun]}" for noun in before if before[noun] != after[noun]]
    complaints += [f"in no line of this program: {method}" for method in sorted(cloud.done - tried)]
    for name, client in (("the stranger", tenant), ("the owner", owner), ("the administrator", cloud.admin)):
        complaints += [f"{name}: {line}" for line in agreement(Door(cloud.endpoint, client.session), cloud.done)]
    print(f"{len(tried)} methods were tried")
    if complaints:
        harness.fail(complaints)


def agreement(door, done):
    """Where lists and `info` tell different things."""
    for noun, element in NOUNS.items():
        if f"one.{noun}pool.info" not in done or f"one.{noun}.info" not in done:
            continue
        flags = () if noun in ("host", "cluster", "datastore", "user", "group", "vdc", "zone") else (-2, -1, -1)
        more = {"document": (100,), "vm": (-2,)}.get(noun, ())
        text = door.must(f"one.{noun}pool.info", *flags, *more)
        listed = {int(number) for number in re.findall(rf"<{element}><ID>(\d+)</ID>", text)}
        for number in range(max(listed, default=0) + 20):
            success, value, _ = door.call(f"one.{noun}.info", number)
            if noun == "document" and success and "<TYPE>100</TYPE>" not in value:
                continue
            if success != (number in listed):
                yield f"{noun} {number} is {'' if number in listed else 'not '}listed, and info says {str(value)[:120]}"


if __name__ == "__main__":
    sys.exit(main())
