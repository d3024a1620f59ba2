//! Taps: a guest's end of its cable, as a character device. They can only be made with ioctls.
#![allow(unsafe_code, reason = "the kernel offers no other way to make a tap than these ioctls")]

use nix::libc::{IFF_NO_PI, IFF_TAP, IFF_VNET_HDR, c_int, c_short, ifreq};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;

nix::ioctl_write_ptr_bad!(tun_set_iff, 0x4004_54ca, ifreq);
nix::ioctl_write_int_bad!(tun_set_persist, 0x4004_54cb);
nix::ioctl_write_int_bad!(tun_set_owner, 0x4004_54cc);

/// The device all taps are made from, and what is said to it of one.
fn request(name: &str) -> io::Result<(File, ifreq)> {
    if name.is_empty() || name.len() > 15 || !name.is_ascii() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{name:?} is no name for an interface")));
    }
    let device = OpenOptions::new().read(true).write(true).open("/dev/net/tun")?;
    // SAFETY: ifreq is plain data for which all zeros is a valid value.
    let mut request: ifreq = unsafe { std::mem::zeroed() };
    for (place, byte) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *place = byte.cast_signed();
    }
    request.ifr_ifru.ifru_flags = (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR) as c_short;
    Ok((device, request))
}

/// Opens a tap for somebody who may not open it.
pub fn open(name: &str) -> io::Result<File> {
    let (device, request) = request(name)?;
    // SAFETY: the device is open for the whole call, and request is a valid ifreq with a terminated name.
    unsafe { tun_set_iff(device.as_raw_fd(), &raw const request) }?;
    Ok(device)
}

/// Has a persistent tap of that name that the user may open without any privilege. Blocks for a moment.
pub fn ensure(name: &str, owner: Option<u32>) -> io::Result<()> {
    let (device, request) = request(name)?;
    let fd = device.as_raw_fd();
    // SAFETY: fd is open for the whole block, request is a valid ifreq with a terminated name, and the other two
    // ioctls take plain numbers.
    unsafe {
        match tun_set_iff(fd, &raw const request) {
            // A guest has it open: then it is there and as it was made.
            Err(nix::errno::Errno::EBUSY) => return Ok(()),
            other => other?,
        };
        if let Some(owner) = owner {
            tun_set_owner(fd, owner as c_int)?;
        }
        tun_set_persist(fd, 1)?;
    }
    Ok(())
}
