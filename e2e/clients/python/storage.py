"""Images: kinds, copies, states, snapshots."""

import pyone
from pyone import IMAGE_STATES, IMAGE_TYPES

from harness import NAME, case, equal, ids, refused


@case
def images_are_made_changed_and_deleted(cloud):
    one = cloud.admin
    name = cloud.fresh(NAME)
    image = one.image.allocate(f'NAME="{name}"\nTYPE=DATABLOCK\nSIZE=10\nDESCRIPTION="ü"\nDEV_PREFIX=sd', 1)
    info = cloud.image_state(image, IMAGE_STATES.READY)
    equal((info.NAME, info.TYPE, info.SIZE, info.PERSISTENT, info.DATASTORE), (name, 2, 10, 0, "default"), "the image")
    equal((info.TEMPLATE["DESCRIPTION"], info.TEMPLATE["DEV_PREFIX"]), ("ü", "sd"), "its attributes")
    equal((info.RUNNING_VMS, list(info.VMS.ID), list(info.CLONES.ID), list(info.APP_CLONES.ID)), (0, [], [], []), "uses")
    refused(pyone.OneException, one.image.allocate, f'NAME="{name}"\nTYPE=DATABLOCK\nSIZE=10', 1)
    refused(pyone.OneException, one.image.allocate, 'TYPE=DATABLOCK\nSIZE=10', 77)
    refused(pyone.OneInternalException, one.image.allocate, 'NAME="a"\nTYPE=[', 1, says="Parse error")
    one.image.enable(image, False)
    equal(one.image.info(image).STATE, IMAGE_STATES.DISABLED, "disabled")
    one.image.enable(image, True)
    cloud.image_state(image, IMAGE_STATES.READY)
    one.image.persistent(image, True)
    equal(one.image.info(image).PERSISTENT, 1, "persistent")
    one.image.persistent(image, False)
    one.image.chtype(image, "OS")
    equal(one.image.info(image).TYPE, IMAGE_TYPES.OS, "the type")
    refused(pyone.OneException, one.image.chtype, image, "FLOPPY")
    one.image.chtype(image, "DATABLOCK")
    copy = one.image.clone(image, cloud.fresh("copy"), -1)
    cloud.image_state(copy, IMAGE_STATES.READY)
    equal(one.image.info(copy).SIZE, 10, "the copy's size")
    assert {image, copy} <= set(ids(one.imagepool.info(-2, -1, -1, -1), "IMAGE"))
    for it in (image, copy):
        one.image.delete(it)
        cloud.wait("the image to go", lambda: ids(one.imagepool.info(-2, -1, -1), "IMAGE"), lambda all, i=it: i not in all)
        refused(pyone.OneNoExistsException, one.image.info, it, says=f"Error getting image [{it}].")


@case
def images_in_use_show_who_uses_them(cloud):
    one = cloud.admin
    image = cloud.image(extra="PERSISTENT=YES")
    vm = cloud.vm(f"DISK=[IMAGE_ID={image}]")
    info = one.image.info(image)
    equal((info.STATE, list(info.VMS.ID), info.RUNNING_VMS), (IMAGE_STATES.USED_PERS, [vm], 1), "an image in use")
    refused(pyone.OneActionException, one.image.delete, image)
    refused(pyone.OneException, one.vm.allocate, f"CPU=0.01\nMEMORY=16\nDISK=[IMAGE_ID={image}]")
    cloud.end(vm)
    cloud.image_state(image, IMAGE_STATES.READY)
    one.image.delete(image)


@case
def an_image_without_snapshots_says_so(cloud):
    one = cloud.admin
    image = cloud.image()
    equal(list(one.image.info(image).SNAPSHOTS.SNAPSHOT), [], "no snapshot")
    for verb in (one.image.snapshotdelete, one.image.snapshotrevert, one.image.snapshotflatten):
        refused(pyone.OneActionException, verb, image, 0)
    one.image.delete(image)
