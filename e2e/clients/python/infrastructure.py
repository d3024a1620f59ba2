"""Clusters, hosts and datastores."""

import pyone
from pyone import HOST_STATES, HOST_STATUS

from harness import NAME, ODD, case, equal, ids, refused


@case
def clusters_hold_hosts_networks_and_datastores(cloud):
    one = cloud.admin
    name = cloud.fresh("Cluster-ü")
    cluster, host, network = one.cluster.allocate(name), cloud.host("member"), cloud.network()
    store = one.datastore.allocate(f'NAME="{cloud.fresh("ds")}"\nDS_MAD=fs\nTM_MAD=local', -1)
    refused(pyone.OneException, one.cluster.allocate, name)
    one.cluster.addhost(cluster, host)
    one.cluster.addvnet(cluster, network)
    one.cluster.adddatastore(cluster, store)
    info = one.cluster.info(cluster)
    equal(
        (info.NAME, list(info.HOSTS.ID), list(info.VNETS.ID), list(info.DATASTORES.ID)),
        (name, [host], [network], [store]),
        "the members",
    )
    equal((one.host.info(host).CLUSTER_ID, one.host.info(host).CLUSTER), (cluster, name), "the host's cluster")
    assert cluster in one.vn.info(network).CLUSTERS.ID and cluster in one.datastore.info(store).CLUSTERS.ID
    refused(pyone.OneActionException, one.cluster.delete, cluster)
    one.cluster.update(cluster, 'RESERVED_CPU="10"\nNOTE="x"')
    one.cluster.update(cluster, {"MORE": "y"}, 1)
    template = one.cluster.info(cluster).TEMPLATE
    equal((template["NOTE"], template["MORE"]), ("x", "y"), "two attributes")
    one.cluster.rename(cluster, cloud.fresh("renamed"))
    one.cluster.delhost(cluster, host)
    one.cluster.delvnet(cluster, network)
    one.cluster.deldatastore(cluster, store)
    equal(one.host.info(host).CLUSTER_ID, 0, "a host without another cluster is in the first one")
    assert cluster in ids(one.clusterpool.info(), "CLUSTER")
    one.cluster.delete(cluster)
    refused(pyone.OneNoExistsException, one.cluster.info, cluster, says=f"Error getting cluster [{cluster}].")
    refused(pyone.OneActionException, one.cluster.delete, 0)
    for gone, what in ((one.host, host), (one.vn, network), (one.datastore, store)):
        gone.delete(what)


@case
def hosts_report_and_are_switched(cloud):
    one = cloud.admin
    name = cloud.fresh("host")
    host = one.host.allocate(name, "dummy", "dummy", -1)
    info = one.host.info(host)
    assert info.STATE in (HOST_STATES.INIT, HOST_STATES.MONITORED), info.STATE
    info = cloud.wait("the host", lambda: one.host.info(host), lambda it: it.STATE == HOST_STATES.MONITORED)
    equal((info.NAME, info.IM_MAD, info.VM_MAD, info.CLUSTER_ID), (name, "dummy", "dummy", 0), "the host")
    share = info.HOST_SHARE
    equal((share.MAX_CPU, share.MAX_MEM), (800, 16 << 20), "percent of a core and KB")
    refused(pyone.OneException, one.host.allocate, name, "dummy", "dummy", -1)
    for status, state in (
        (HOST_STATUS.DISABLED, HOST_STATES.DISABLED),
        (HOST_STATUS.OFFLINE, HOST_STATES.OFFLINE),
        (HOST_STATUS.ENABLED, HOST_STATES.MONITORED),
    ):
        equal(one.host.status(host, status), host, "status answers the id")
        cloud.wait(f"the host {status.name}", lambda: one.host.info(host), lambda it, s=state: it.STATE == s)
    refused(pyone.OneApiException, one.host.status, host, 7)
    one.host.update(host, {"TEMPLATE": {"LABELS": "a,b", "RACK": {"ROW": "7"}}}, 1)
    template = one.host.info(host).TEMPLATE
    equal((template["LABELS"], template["RACK"]["ROW"]), ("a,b", "7"), "attributes sent as XML")
    one.host.update(host, 'RESERVED_CPU="100"\nRESERVED_MEM="1048576"')
    info = one.host.info(host)
    equal((info.HOST_SHARE.MAX_CPU, info.HOST_SHARE.TOTAL_CPU), (700, 800), "capacity kept back")
    equal(info.IM_MAD, "dummy", "replacing the template keeps the drivers")
    one.host.rename(host, cloud.fresh("renamed"))
    assert host in ids(one.hostpool.info(), "HOST")
    cloud.wait("a sample", lambda: one.host.monitoring(host), lambda it: bool(it.MONITORING))
    samples = one.hostpool.monitoring(0)
    assert host in [it.ID for it in samples.MONITORING], "the newest sample of every host"
    one.hostpool.monitoring(-1)
    one.host.delete(host)
    refused(pyone.OneNoExistsException, one.host.info, host, says=f"Error getting host [{host}].")


@case
def a_host_with_vms_is_not_deleted(cloud):
    one = cloud.admin
    host = cloud.host("busy")
    vm = one.vm.allocate(f'CPU=0.01\nMEMORY=16\nSCHED_REQUIREMENTS="ID = {host}"')
    cloud.vm_state(vm, 3, 3)
    info = one.host.info(host)
    equal((list(info.VMS.ID), info.HOST_SHARE.RUNNING_VMS, info.HOST_SHARE.CPU_USAGE), ([vm], 1, 1), "what runs there")
    refused(pyone.OneActionException, one.host.delete, host)
    cloud.end(vm)
    one.host.delete(host)


@case
def datastores_are_made_changed_and_deleted(cloud):
    one = cloud.admin
    store = one.datastore.allocate(f'NAME="{cloud.fresh(NAME)}"\nDS_MAD=fs\nTM_MAD=local\nTYPE=IMAGE_DS', 0)
    info = one.datastore.info(store)
    equal((info.TYPE, info.STATE, info.DS_MAD, list(info.CLUSTERS.ID)), (0, 0, "fs", [0]), "a new datastore")
    one.datastore.update(store, 'LIMIT_MB="100"\nDS_MAD=fs\nTM_MAD=local', 1)
    equal(one.datastore.info(store).TEMPLATE["LIMIT_MB"], "100", "the limit")
    refused(pyone.OneException, one.image.allocate, f'NAME="{cloud.fresh("big")}"\nTYPE=DATABLOCK\nSIZE=1000', store)
    one.datastore.enable(store, False)
    equal(one.datastore.info(store).STATE, 1, "disabled")
    refused(pyone.OneException, one.image.allocate, f'NAME="{cloud.fresh("no")}"\nTYPE=DATABLOCK\nSIZE=10', store)
    one.datastore.enable(store, True)
    image = one.image.allocate(f'NAME="{cloud.fresh("i")}"\nTYPE=DATABLOCK\nSIZE=10', store)
    cloud.image_state(image, 1)
    equal(list(one.datastore.info(store).IMAGES.ID), [image], "its images")
    refused(pyone.OneActionException, one.datastore.delete, store)
    one.datastore.chmod(store, 1, 1, 0, 1, 0, 0, 0, 0, 0)
    uid, tenant = cloud.tenant()
    one.datastore.chown(store, uid, 1)
    equal((one.datastore.info(store).UID, one.datastore.info(store).GID), (uid, 1), "the new owner")
    tenant.datastore.rename(store, cloud.fresh("mine"))
    assert store in ids(tenant.datastorepool.info(), "DATASTORE")
    one.image.delete(image)
    cloud.wait("the image to go", lambda: ids(one.imagepool.info(-2, -1, -1), "IMAGE"), lambda it: image not in it)
    one.datastore.delete(store)
    refused(pyone.OneNoExistsException, one.datastore.info, store, says=f"Error getting datastore [{store}].")


@case
def odd_words_survive_in_hosts(cloud):
    from xml.sax.saxutils import escape

    one = cloud.admin
    host = cloud.hosts()[0]
    one.host.update(host, f"<TEMPLATE><ODD>{escape(ODD)}</ODD></TEMPLATE>", 1)
    equal(one.host.info(host).TEMPLATE["ODD"], ODD, "an odd value")
    one.host.update(host, "ODD=[]", 1)
