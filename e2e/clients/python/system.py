"""What is there before anything is made, sessions, and the protocol itself."""

import xmlrpc.client

import pyone

from harness import Client, case, equal, ids, refused


@case
def version_and_configuration(cloud):
    version = cloud.admin.system.version()
    assert version.startswith("7."), version
    full = cloud.admin.system.config()
    equal(full.DEFAULT_UMASK[0], "177", "the umask")
    _, tenant = cloud.tenant()
    part = tenant.system.config()
    assert part.PORT is None, "a tenant sees what concerns the machine"


@case
def a_fresh_cloud_has_what_clients_expect(cloud):
    one = cloud.admin
    equal([one.user.info(0).NAME, one.user.info(1).NAME], ["oneadmin", "serveradmin"], "the first users")
    equal([one.group.info(0).NAME, one.group.info(1).NAME], ["oneadmin", "users"], "the first groups")
    equal(one.cluster.info(0).NAME, "default", "the first cluster")
    stores = {store.ID: (store.NAME, store.TYPE) for store in one.datastorepool.info().DATASTORE}
    equal([stores[0], stores[1], stores[2]], [("system", 1), ("default", 0), ("files", 2)], "the first datastores")
    equal(one.zone.info(0).NAME, "OpenNebula", "the zone")
    equal(one.zonepool.info().ZONE[0].ID, 0, "the zone pool")
    assert 1 in one.vdc.info(0).GROUPS.ID, "VDC 0 is for the group users"
    equal(one.secgroup.info(0).NAME, "default", "the first security group")


@case
def bad_sessions_are_refused(cloud):
    for session in ("oneadmin:wrong", "nobody:secret", "nothing", ":", "oneadmin:"):
        refused(pyone.OneAuthenticationException, Client(cloud, session).system.version)


@case
def the_protocol_introduces_itself(cloud):
    proxy = xmlrpc.client.ServerProxy(cloud.endpoint)
    names = proxy.system.listMethods()
    equal(len(names), len(set(names)), "every name is listed once")
    for name in sorted(cloud.done):
        assert proxy.system.methodHelp(name), name
    equal(proxy.system.capabilities()["protocol_version"], 2, "the protocol")
    session = cloud.admin.session
    calls = [{"methodName": "one.system.version", "params": [session]}, {"methodName": "one.no.such", "params": []}]
    first, second = proxy.system.multicall(calls)
    equal(first[0][0], True, "the first of two calls")
    equal(second["faultCode"], -506, "a method that is not there")


@case
def protocol_mistakes_are_faults(cloud):
    proxy, session = xmlrpc.client.ServerProxy(cloud.endpoint), cloud.admin.session
    for call, code in [
        (lambda: proxy.one.no.such(session), -506),
        (lambda: proxy.one.user.info(session, "zero"), -501),
        (lambda: proxy.one.user.info(session), -502),
        (lambda: proxy.one.user.info(), -502),
    ]:
        try:
            answer = call()
        except xmlrpc.client.Fault as fault:
            equal(fault.faultCode, code, str(fault))
        else:
            raise AssertionError(f"fault {code} was expected, not {answer}")
    # Clients send what newer servers know, and leave out what older ones did not have.
    assert proxy.one.user.info(session, 0, True, "more", 5)[0]
    assert proxy.one.imagepool.info(session, -2, -1, -1, -1)[0]


@case
def the_zone_is_shown_and_named(cloud):
    one = cloud.admin
    name = one.zone.info(0).NAME
    equal(one.zone.rename(0, "Zone ü"), 0, "rename answers the id")
    equal(one.zone.info(0).NAME, "Zone ü", "the new name")
    one.zone.rename(0, name)
    before = one.zone.info(0).TEMPLATE["ENDPOINT"]
    one.zone.update(0, 'CITY="Zürich"', 1)
    equal(one.zone.info(0).TEMPLATE["CITY"], "Zürich", "an attribute of the zone")
    equal(one.zone.info(0).TEMPLATE["ENDPOINT"], before, "appending keeps the rest")
    one.zone.enable(0, True)
    equal(one.zone.info(0).STATE, 0, "an enabled zone")
    equal(one.zone.raftstatus().STATE, 0, "a single server")
    refused(pyone.OneNoExistsException, one.zone.info, 77, says="Error getting zone [77].")
    assert 0 in ids(one.zonepool.info(), "ZONE")
