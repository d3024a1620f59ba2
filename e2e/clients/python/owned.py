"""What all nouns with an owner have in common, templates and documents, and lists: pages, filters, order."""

from xml.sax.saxutils import escape

import pyone

from harness import HIDDEN, NAME, ODD, case, equal, ids, refused

# Noun, the element of its pool, the name in messages, how one is made, whether it can be locked.
NOUNS = {
    "vm": ("VM", lambda c, o, n: o.vm.allocate(f'NAME="{n}"\nCPU=0.01\nMEMORY=16', True), True),
    "template": ("VMTEMPLATE", lambda c, o, n: o.template.allocate(f'NAME="{n}"\nCPU=1\nMEMORY=64'), True),
    "image": ("IMAGE", lambda c, o, n: o.image.allocate(f'NAME="{n}"\nTYPE=DATABLOCK\nSIZE=8', 1), True),
    "vn": ("VNET", lambda c, o, n: o.vn.allocate(f'NAME="{n}"\nVN_MAD=bridge\nBRIDGE=br-o', -1), True),
    "vntemplate": ("VNTEMPLATE", lambda c, o, n: o.vntemplate.allocate(f'NAME="{n}"\nVN_MAD=bridge'), True),
    "secgroup": (
        "SECURITY_GROUP",
        lambda c, o, n: o.secgroup.allocate(f'NAME="{n}"\nRULE=[PROTOCOL=TCP,RULE_TYPE=INBOUND]'),
        False,
    ),
    "vmgroup": ("VM_GROUP", lambda c, o, n: o.vmgroup.allocate(f'NAME="{n}"\nROLE=[NAME="a"]'), True),
    "document": ("DOCUMENT", lambda c, o, n: o.document.allocate(f'NAME="{n}"\nBODY="{{}}"', 100), True),
}


def verb(client, noun, name):
    """A method of a noun."""
    return getattr(getattr(client, noun), name)


def pool(client, noun, flag=-2, start=-1, end=-1):
    """The pool of a noun."""
    more = {"document": (100,), "vm": (-1,)}.get(noun, ())
    return verb(client, noun + "pool", "info")(flag, start, end, *more)


def attributes(noun, info):
    """Where a noun keeps what users write."""
    return dict(info.USER_TEMPLATE if noun == "vm" else info.TEMPLATE)


def settled(cloud, noun, it):
    """Waits until an object that is made in steps is made."""
    if noun == "image":
        cloud.image_state(it, 1)
    if noun == "vn":
        cloud.wait("the network", lambda: cloud.admin.vn.info(it), lambda info: info.STATE == 1)
    return it


def whole_life(cloud, noun):
    """Made, renamed, written, given away, opened, closed, locked, deleted."""
    element, make, lockable = NOUNS[noun]
    one = cloud.admin

    def do(name, *arguments, client=one):
        return verb(client, noun, name)(*arguments)

    it = settled(cloud, noun, make(cloud, one, cloud.fresh(NAME)))
    uid, tenant = cloud.tenant(f"owner-of-{noun}", [cloud.outside()])
    _, stranger = cloud.tenant("stranger", [cloud.outside()])

    renamed = cloud.fresh("новое имя")
    equal(do("rename", it, renamed), it, "rename answers the id")
    equal(do("info", it).NAME, renamed, "the new name")
    for bad in ("", "a" * 129, "a;b", 'a"b', "a$b", "a/b"):
        refused(pyone.OneActionException, verb(one, noun, "rename"), it, bad)

    body = f"<TEMPLATE><ODD>{escape(ODD)}</ODD><SECTION><WORD>{escape(ODD)}</WORD></SECTION></TEMPLATE>"
    before = attributes(noun, do("info", it))
    equal(do("update", it, body, 1), it, "update answers the id")
    shown = attributes(noun, do("info", it))
    equal((shown["ODD"], shown["SECTION"]["WORD"]), (ODD, ODD), "an odd value")
    equal({k: v for k, v in shown.items() if k not in ("ODD", "SECTION")}, before, "appending keeps the rest")
    do("update", it, 'odd="plain"\nLIST="1"\nLIST="2"', 1)
    shown = attributes(noun, do("info", it))
    equal((shown["ODD"], shown["LIST"]), ("plain", ["1", "2"]), "text replaces one and keeps several")
    do("update", it, {"DICT": "as pyone sends it"}, 1)
    equal(attributes(noun, do("info", it))["DICT"], "as pyone sends it", "a dictionary")
    if noun in ("template", "document", "vm"):
        do("update", it, 'ONLY="x"', 0)
        equal(attributes(noun, do("info", it)), {"ONLY": "x"}, "replacing keeps nothing")
    refused(pyone.OneInternalException, verb(one, noun, "update"), it, "A=[B", 1, says="Parse error")
    refused(pyone.OneApiException, verb(one, noun, "update"), it, "A=1", 9)

    owner = do("info", it)
    for name, arguments in (("info", ()), ("rename", ("x",)), ("update", ("A=1", 1)), ("delete", ())):
        if (noun, name) != ("vm", "delete"):
            refused(HIDDEN, verb(tenant, noun, name), it, *arguments)
    assert it not in ids(pool(tenant, noun), element), "a stranger's list shows nothing"
    do("chmod", it, -1, -1, -1, -1, -1, -1, 1, 0, 0)
    equal(do("info", it, client=tenant).ID, it, "others may use it now")
    assert it in ids(pool(tenant, noun), element), "and their list shows it"
    refused(pyone.OneAuthorizationException, verb(tenant, noun, "update"), it, "A=1", 1)
    do("chmod", it, 1, 1, 0, 0, 0, 0, 0, 0, 0)
    refused(HIDDEN, verb(tenant, noun, "info"), it)
    refused(pyone.OneApiException, verb(one, noun, "chmod"), it, 2, 1, 1, 1, 1, 1, 1, 1, 1)
    equal(do("chown", it, uid, -1), it, "chown answers the id")
    info = do("info", it)
    equal((info.UID, info.GID, info.GNAME), (uid, owner.GID, owner.GNAME), "the new owner, the old group")
    group = do("info", it, client=tenant) and tenant.user.info(-1).GID
    do("chown", it, -1, group)
    equal(do("info", it).GID, group, "the new group")
    do("rename", it, cloud.fresh("mine"), client=tenant)
    refused(HIDDEN, verb(tenant, noun, "chown"), it, 0, -1)
    refused(HIDDEN, verb(stranger, noun, "info"), it)
    refused(pyone.OneException, verb(one, noun, "chown"), it, 99999, -1)
    permissions = do("info", it).PERMISSIONS
    equal((permissions.OWNER_U, permissions.OWNER_M, permissions.OTHER_U), (1, 1, 0), "permissions")

    if lockable:
        do("lock", it, 1, True, client=tenant)
        equal(do("info", it).LOCK.LOCKED, 1, "the level of the lock")
        refused(pyone.OneException, verb(tenant, noun, "lock"), it, 1, True)
        assert "lock" in refused(pyone.OneException, verb(tenant, noun, "update"), it, "A=1", 1)
        do("unlock", it, client=tenant)
        assert do("info", it).LOCK is None, "no lock is shown"
        do("lock", it, 3, False, client=tenant)
        do("update", it, "A=1", 1, client=tenant)
        do("unlock", it, client=tenant)
        refused(pyone.OneApiException, verb(one, noun, "lock"), it, 9, False)

    if noun == "vm":
        cloud.end(it)
    else:
        equal(do("delete", it), it, "delete answers the id")
        cloud.wait("it to go", lambda: ids(pool(one, noun), element), lambda all: it not in all)
        refused(pyone.OneNoExistsException, verb(one, noun, "info"), it, says=f"[{it}].")
    refused(pyone.OneNoExistsException, verb(one, noun, "rename"), 4_000_000, "x", says="[4000000].")
    refused(pyone.OneNoExistsException, verb(one, noun, "info"), -5, says="[-5].")


for _noun in NOUNS:

    def _case(cloud, noun=_noun):
        whole_life(cloud, noun)

    _case.__name__ = f"{_noun}_from_allocate_to_delete"
    case(_case)


@case
def lists_are_cut_filtered_and_ordered(cloud):
    one = cloud.admin
    group = cloud.group("list")
    uid, tenant = cloud.tenant("lister", [group])
    other, colleague = cloud.tenant("colleague", [group])
    mine = [tenant.template.allocate(f'NAME="{cloud.fresh("page")}"') for _ in range(5)]
    theirs = colleague.template.allocate(f'NAME="{cloud.fresh("theirs")}"')
    colleague.template.chmod(theirs, 1, 1, 0, 1, 0, 0, 0, 0, 0)
    foreign = one.template.allocate(f'NAME="{cloud.fresh("foreign")}"')
    one.template.chmod(foreign, 1, 1, 0, 0, 0, 0, 1, 0, 0)

    def shown(flag=-2, start=-1, end=-1, client=tenant):
        return ids(client.templatepool.info(flag, start, end), "VMTEMPLATE")

    newest_first = sorted(mine, reverse=True)
    equal(shown(-3), newest_first, "mine, newest first")
    equal(shown(-1), [theirs, *newest_first], "mine and my groups'")
    equal(shown(-4), [theirs, *newest_first], "my primary group's")
    everything = shown(-2)
    assert {foreign, theirs, *mine} <= set(everything), "all I may see"
    equal(shown(other), [theirs], "another user's, as far as I see them")
    equal(shown(-3, 0, -2), newest_first[:2], "the first page")
    equal(shown(-3, 2, -2), newest_first[2:4], "the second page")
    equal(shown(-3, 4, -2), newest_first[4:], "the last page")
    equal(shown(-3, 6, -2), [], "beyond the last page")
    equal(shown(-2, mine[1], mine[3]), sorted(mine[1:4], reverse=True), "a range of ids")
    refused(pyone.OneApiException, tenant.templatepool.info, -5, -1, -1)
    tenant.user.update(uid, 'API_LIST_ORDER="ASC"', 1)
    equal(shown(-3), mine, "oldest first")
    equal(shown(-3, 0, -2), mine[:2], "pages follow the order")
    for it in [*mine, theirs, foreign]:
        one.template.delete(it)


@case
def templates_are_copied_with_their_images(cloud):
    one = cloud.admin
    image = cloud.image()
    template = one.template.allocate(
        f'NAME="{cloud.fresh("t")}"\nCPU=0.01\nMEMORY=16\nDISK=[IMAGE_ID={image}]\nNOTE="x"'
    )
    copy = one.template.clone(template, cloud.fresh("copy"))
    equal(dict(one.template.info(copy).TEMPLATE), dict(one.template.info(template).TEMPLATE), "the copy")
    deep = one.template.clone(template, cloud.fresh("deep"), True)
    own = int(one.template.info(deep).TEMPLATE["DISK"]["IMAGE_ID"])
    assert own != image, "a recursive copy has images of its own"
    cloud.image_state(own, 1)
    one.template.chmod(deep, 1, 1, 0, 1, 0, 0, 0, 0, 0, True)
    equal(one.image.info(own).PERMISSIONS.GROUP_U, 1, "a recursive chmod reaches the image")
    extended = one.template.info(template, True)
    assert "IMAGE" in extended.TEMPLATE["DISK"] or "SIZE" in extended.TEMPLATE["DISK"], extended.TEMPLATE["DISK"]
    one.template.delete(deep, True)
    cloud.wait("the image to go", lambda: ids(one.imagepool.info(-2, -1, -1), "IMAGE"), lambda all: own not in all)
    one.template.delete(copy)
    one.template.delete(template)
    equal(one.image.info(image).STATE, 1, "the image of the first template stays")
    one.image.delete(image)


@case
def documents_have_kinds(cloud):
    one = cloud.admin
    text = '{"roles": [{"name": "a]]>b", "n": 1}]}'
    document = one.document.allocate(f"<TEMPLATE><NAME>{cloud.fresh('d')}</NAME><BODY>{escape(text)}</BODY></TEMPLATE>", 101)
    equal((str(one.document.info(document).TYPE), one.document.info(document).TEMPLATE["BODY"]), ("101", text), "a document")
    assert document in ids(one.documentpool.info(-2, -1, -1, 101), "DOCUMENT")
    assert document not in ids(one.documentpool.info(-2, -1, -1, 100), "DOCUMENT")
    copy = one.document.clone(document, cloud.fresh("copy"))
    equal(one.document.info(copy).TEMPLATE["BODY"], text, "the copy")
    one.document.delete(copy)
    one.document.delete(document)


@case
def vm_groups_have_roles(cloud):
    one = cloud.admin
    group = one.vmgroup.allocate(
        f'NAME="{cloud.fresh("vg")}"\nROLE=[NAME="front",POLICY="ANTI_AFFINED"]\nROLE=[NAME="back"]'
    )
    one.vmgroup.roleadd(group, 'ROLE=[NAME="third"]')
    roles = {it.NAME: it.ID for it in one.vmgroup.info(group).ROLES.ROLE}
    equal(sorted(roles), ["back", "front", "third"], "the roles")
    one.vmgroup.roleupdate(group, roles["third"], 'ROLE=[NAME="last",POLICY="AFFINED"]')
    role = {it.ID: it for it in one.vmgroup.info(group).ROLES.ROLE}[roles["third"]]
    equal(role.POLICY, "AFFINED", "the role's policy")
    one.vmgroup.roledelete(group, roles["third"])
    equal(len(one.vmgroup.info(group).ROLES.ROLE), 2, "two roles are left")
    first, second = (cloud.vm(f'VMGROUP=[VMGROUP_ID={group},ROLE="front"]') for _ in range(2))
    hosts = {one.vm.info(vm).HISTORY_RECORDS.HISTORY[-1].HID for vm in (first, second)}
    equal(len(hosts), 2, "the role keeps its VMs apart")
    role = {it.ID: it for it in one.vmgroup.info(group).ROLES.ROLE}[roles["front"]]
    equal(sorted(role.VMS.split(",")), sorted([str(first), str(second)]), "the role's VMs")
    refused(pyone.OneActionException, one.vmgroup.delete, group)
    cloud.end(first, second)
    assert group in ids(one.vmgrouppool.info(-2, -1, -1), "VM_GROUP")
    one.vmgroup.delete(group)
