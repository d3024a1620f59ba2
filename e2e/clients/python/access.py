"""Users, groups, access rules, virtual data centers and quotas."""

import pyone
from pyone.acl import OneAcl

from harness import HIDDEN, Client, case, equal, ids, refused


@case
def users_are_made_changed_and_deleted(cloud):
    one = cloud.admin
    name = cloud.fresh("user")
    uid = one.user.allocate(name, "first pass".replace(" ", "-"), "core", [])
    info = one.user.info(uid)
    equal((info.NAME, info.GNAME, info.AUTH_DRIVER, info.ENABLED), (name, "users", "core", 1), "a new user")
    equal(list(info.GROUPS.ID), [1], "its groups")
    refused(pyone.OneException, one.user.allocate, name, "again", "core", [])
    one.user.update(uid, 'EMAIL="a@b.example"\nLANG=de')
    one.user.update(uid, 'LANG="en"', 1)
    equal(dict(one.user.info(uid).TEMPLATE)["EMAIL"], "a@b.example", "appending keeps the rest")
    one.user.update(uid, 'ONLY="this"', 0)
    assert "EMAIL" not in one.user.info(uid).TEMPLATE, "replacing keeps nothing"
    one.user.passwd(uid, "second")
    equal(Client(cloud, f"{name}:second").user.info(-1).ID, uid, "-1 is oneself")
    refused(pyone.OneAuthenticationException, Client(cloud, f"{name}:first-pass").user.info, -1)
    one.user.enable(uid, False)
    equal(one.user.info(uid).ENABLED, 0, "a disabled user")
    refused(pyone.OneAuthenticationException, Client(cloud, f"{name}:second").user.info, -1)
    one.user.enable(uid, True)
    one.user.chauth(uid, "core", "third")
    equal(Client(cloud, f"{name}:third").user.info(uid).ID, uid, "the password of the new driver")
    assert uid in ids(one.userpool.info(), "USER")
    equal(one.user.delete(uid), uid, "delete answers the id")
    refused(pyone.OneNoExistsException, one.user.info, uid, says=f"Error getting user [{uid}].")
    refused(pyone.OneAuthenticationException, Client(cloud, f"{name}:third").user.info, -1)


@case
def a_password_may_hold_colons(cloud):
    name = cloud.fresh("colon")
    uid = cloud.admin.user.allocate(name, "a:b:c", "core")
    equal(Client(cloud, f"{name}:a:b:c").user.info(-1).ID, uid, "the user")


@case
def login_tokens_work_until_they_are_reset(cloud):
    one = cloud.admin
    uid, tenant = cloud.tenant("token")
    name = tenant.session.split(":")[0]
    token = tenant.user.login(name, "", 3600, -1)
    by_token = Client(cloud, f"{name}:{token}")
    equal(by_token.user.info(-1).ID, uid, "the user of the token")
    tokens = tenant.user.info(-1).LOGIN_TOKEN
    equal([it.EGID for it in tokens], [-1], "one token")
    group = cloud.group("token")
    one.user.addgroup(uid, group)
    bound = Client(cloud, f"{name}:{tenant.user.login(name, '', 3600, group)}")
    made = bound.template.allocate(f'NAME="{cloud.fresh("t")}"')
    equal(bound.template.info(made).GID, group, "what is made with a token of a group is the group's")
    tenant.user.login(name, token, 0, -1)
    refused(pyone.OneAuthenticationException, by_token.user.info, -1)
    refused(HIDDEN, tenant.user.login, "oneadmin", "", 3600, -1)


@case
def groups_have_members_and_admins(cloud):
    one = cloud.admin
    name = cloud.fresh("Gruppe-ü")
    gid = one.group.allocate(name)
    uid, tenant = cloud.tenant("member")
    refused(pyone.OneException, one.group.allocate, name)
    one.user.addgroup(uid, gid)
    equal(sorted(one.user.info(uid).GROUPS.ID), [1, gid], "two groups")
    equal(list(one.group.info(gid).USERS.ID), [uid], "the members")
    one.user.delgroup(uid, gid)
    equal(list(one.user.info(uid).GROUPS.ID), [1], "one group again")
    one.user.chgrp(uid, gid)
    info = one.user.info(uid)
    equal((info.GID, info.GNAME), (gid, name), "the primary group")
    one.group.addadmin(gid, uid)
    equal(list(one.group.info(gid).ADMINS.ID), [uid], "the admins")
    made = tenant.user.allocate(cloud.fresh("by-admin"), "secret", "core", [gid])
    equal(one.user.info(made).GID, gid, "a group admin makes users of the group")
    one.group.deladmin(gid, uid)
    assert not one.group.info(gid).ADMINS.ID, "no admin is left"
    refused(pyone.OneAuthorizationException, tenant.user.allocate, cloud.fresh("no"), "secret", "core", [gid])
    one.group.update(gid, 'FIREEDGE=[VIEWS="cloud,user",DEFAULT_VIEW="user"]\nNOTE="x"')
    equal(one.group.info(gid).TEMPLATE["FIREEDGE"]["DEFAULT_VIEW"], "user", "a vector of the group")
    equal(tenant.group.info(-1).ID, gid, "-1 is one's own group")
    assert gid in ids(one.grouppool.info(), "GROUP")
    refused(pyone.OneActionException, one.group.delete, gid)
    one.user.delete(made)
    one.user.chgrp(uid, 1)
    one.group.delete(gid)
    refused(pyone.OneNoExistsException, one.group.info, gid)
    if "one.group.vlan" in cloud.done:
        other = one.group.allocate(cloud.fresh("vlan"))
        one.group.vlan(other, 'RULE=[ID="100-200",SCOPE="VLAN_ID"]')
        equal(one.group.info(other).VLAN_RULES.RULE[0].ID, "100-200", "a rule for VLANs")


@case
def rules_open_what_permissions_close(cloud):
    one = cloud.admin
    owner, _ = cloud.tenant("owner")
    uid, tenant = cloud.tenant("guest")
    template = one.template.allocate(f'NAME="{cloud.fresh("shared")}"\nCPU=1\nMEMORY=64')
    one.template.chown(template, owner, 0)
    refused(HIDDEN, tenant.template.info, template)
    rule = one.acl.addrule(*OneAcl().parse_rule(f"#{uid} TEMPLATE/#{template} USE"))
    equal(tenant.template.info(template).ID, template, "a rule opens the template")
    assert template in ids(tenant.templatepool.info(-2, -1, -1), "VMTEMPLATE"), "and the list shows it"
    refused(pyone.OneAuthorizationException, tenant.template.update, template, "A=1", 1)
    texts = {it.ID: it.STRING for it in one.acl.info().ACL}
    assert texts[rule].startswith(f"#{uid} TEMPLATE/#{template} USE"), texts[rule]
    one.acl.delrule(rule)
    refused(HIDDEN, tenant.template.info, template)
    refused(pyone.OneAuthorizationException, tenant.acl.addrule, *OneAcl().parse_rule("* VM/* USE"))


@case
def a_fresh_cloud_has_the_usual_rules(cloud):
    texts = {it.ID: it.STRING for it in cloud.admin.acl.info().ACL}
    assert texts[0].startswith("@1 VM+") and "CREATE" in texts[0], texts[0]
    assert texts[1].startswith("* ZONE/* USE"), texts[1]


@case
def data_centers_give_groups_resources(cloud):
    one = cloud.admin
    group = one.group.allocate(cloud.fresh("vdc-group"))
    uid, tenant = cloud.tenant("vdc", [group])
    if group in one.vdc.info(0).GROUPS.ID:
        one.vdc.delgroup(0, group)
    cluster, network, host = one.cluster.allocate(cloud.fresh("c")), cloud.network(), cloud.host("vdc")
    store = one.datastore.allocate(f'NAME="{cloud.fresh("ds")}"\nDS_MAD=fs\nTM_MAD=local', -1)
    vdc = one.vdc.allocate(f'NAME="{cloud.fresh("vdc")}"\nNOTE="x"')
    refused(HIDDEN, tenant.vn.info, network)
    one.vdc.addgroup(vdc, group)
    one.vdc.addvnet(vdc, 0, network)
    equal(tenant.vn.info(network).ID, network, "a network of the VDC")
    one.vdc.addhost(vdc, 0, host)
    one.vdc.adddatastore(vdc, 0, store)
    one.vdc.addcluster(vdc, 0, cluster)
    info = one.vdc.info(vdc)
    equal(list(info.GROUPS.ID), [group], "groups")
    equal([(it.ZONE_ID, it.HOST_ID) for it in info.HOSTS.HOST], [(0, host)], "hosts")
    equal([(it.ZONE_ID, it.CLUSTER_ID) for it in info.CLUSTERS.CLUSTER], [(0, cluster)], "clusters")
    equal([(it.ZONE_ID, it.DATASTORE_ID) for it in info.DATASTORES.DATASTORE], [(0, store)], "datastores")
    equal([(it.ZONE_ID, it.VNET_ID) for it in info.VNETS.VNET], [(0, network)], "networks")
    one.vdc.rename(vdc, cloud.fresh("renamed"))
    one.vdc.update(vdc, 'B="2"', 1)
    equal(one.vdc.info(vdc).TEMPLATE["NOTE"], "x", "appending keeps the rest")
    assert vdc in ids(one.vdcpool.info(), "VDC")
    one.vdc.delvnet(vdc, 0, network)
    refused(HIDDEN, tenant.vn.info, network)
    one.vdc.delhost(vdc, 0, host)
    one.vdc.deldatastore(vdc, 0, store)
    one.vdc.delcluster(vdc, 0, cluster)
    one.vdc.delgroup(vdc, group)
    one.vdc.delete(vdc)
    refused(pyone.OneNoExistsException, one.vdc.info, vdc)
    one.host.delete(host)
    one.datastore.delete(store)
    one.cluster.delete(cluster)


@case
def quotas_stop_what_is_too_much(cloud):
    one = cloud.admin
    uid, tenant = cloud.tenant("limited")
    one.user.quota(uid, 'VM=[VMS="1",MEMORY="40",CPU="-2"]\nDATASTORE=[ID="1",IMAGES="1",SIZE="100"]')
    quota = one.user.info(uid).VM_QUOTA.VM[0]
    equal((quota.VMS, quota.VMS_USED, quota.MEMORY), ("1", "0", "40"), "the limits")
    first = tenant.vm.allocate("CPU=0.01\nMEMORY=16", True)
    quota = one.user.info(uid).VM_QUOTA.VM[0]
    equal((quota.VMS_USED, quota.MEMORY_USED), ("1", "16"), "what is used")
    message = refused(pyone.OneAuthorizationException, tenant.vm.allocate, "CPU=0.01\nMEMORY=16", True)
    assert "quota" in message.lower(), message
    image = cloud.image(tenant)
    refused(
        pyone.OneAuthorizationException, tenant.image.allocate, f'NAME="{cloud.fresh("i")}"\nTYPE=DATABLOCK\nSIZE=8', 1
    )
    one.vm.action("terminate-hard", first)
    cloud.vm_state(first, 6)
    equal(one.user.info(uid).VM_QUOTA.VM[0].VMS_USED, "0", "what ended is not used")
    tenant.vm.action("terminate-hard", tenant.vm.allocate("CPU=0.01\nMEMORY=16", True))
    group = one.group.allocate(cloud.fresh("limited"))
    one.group.quota(group, 'VM=[VMS="3"]')
    equal(one.group.info(group).VM_QUOTA.VM[0].VMS, "3", "a limit of a group")
    refused(pyone.OneAuthorizationException, tenant.user.quota, uid, 'VM=[VMS="9"]')
    tenant.image.delete(image)


@case
def default_quotas_are_everybodys(cloud):
    one = cloud.admin
    one.userquota.update('VM=[VMS="1000"]')
    text = one.text("one.userquota.info")
    assert text.startswith("<DEFAULT_USER_QUOTAS>") and "<VMS>1000</VMS>" in text.replace("<![CDATA[", "").replace("]]>", ""), text
    one.userquota.update('VM=[VMS="-2"]')
    one.groupquota.update('VM=[VMS="2000"]')
    text = one.text("one.groupquota.info")
    assert text.startswith("<DEFAULT_GROUP_QUOTAS>") and "<VMS>2000</VMS>" in text.replace("<![CDATA[", "").replace("]]>", ""), text
    one.groupquota.update('VM=[VMS="-2"]')
    _, tenant = cloud.tenant()
    refused(pyone.OneAuthorizationException, tenant.userquota.update, 'VM=[VMS="1"]')
