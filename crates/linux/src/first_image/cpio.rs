//! Writes an initial RAM disk (cpio, `newc` format): the same tree gives the same bytes.

use std::collections::BTreeMap;

/// A file tree in memory; paths are relative, without a leading slash.
#[derive(Debug, Default)]
pub struct Tree {
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug)]
enum Entry {
    Directory,
    File { mode: u32, content: Vec<u8> },
    Link { target: String },
}

impl Tree {
    /// Adds a directory and those above it.
    pub fn directory(&mut self, path: &str) {
        for (at, _) in path.match_indices('/') {
            self.entries.entry(path[..at].to_owned()).or_insert(Entry::Directory);
        }
        self.entries.entry(path.to_owned()).or_insert(Entry::Directory);
    }

    fn parent(&mut self, path: &str) {
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.directory(parent);
        }
    }

    /// Adds a file, and the directories above it.
    pub fn file(&mut self, path: &str, mode: u32, content: impl Into<Vec<u8>>) {
        self.parent(path);
        self.entries.insert(path.to_owned(), Entry::File { mode, content: content.into() });
    }

    /// Adds a symbolic link, and the directories above it.
    pub fn link(&mut self, path: &str, target: &str) {
        self.parent(path);
        self.entries.insert(path.to_owned(), Entry::Link { target: target.to_owned() });
    }

    /// The archive. Everything belongs to root and carries no time.
    #[must_use]
    pub fn archive(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (number, (path, entry)) in self.entries.iter().enumerate() {
            let (mode, content): (u32, &[u8]) = match entry {
                // The kernel makes directories with exactly this mode; root's own holds keys.
                Entry::Directory if path.starts_with("root") => (0o040_700, &[]),
                Entry::Directory => (0o040_755, &[]),
                Entry::File { mode, content } => (0o100_000 | mode, content),
                Entry::Link { target } => (0o120_777, target.as_bytes()),
            };
            record(&mut out, number + 1, path, mode, content);
        }
        record(&mut out, 0, "TRAILER!!!", 0, &[]);
        out
    }
}

fn record(out: &mut Vec<u8>, number: usize, path: &str, mode: u32, content: &[u8]) {
    let links = 1;
    let header = format!(
        "070701{number:08x}{mode:08x}{:08x}{:08x}{links:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}",
        0,
        0,
        0,
        content.len(),
        0,
        0,
        0,
        0,
        path.len() + 1,
        0
    );
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(path.as_bytes());
    out.push(0);
    pad(out);
    out.extend_from_slice(content);
    pad(out);
}

fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_what_other_tools_read() {
        let mut tree = Tree::default();
        tree.link("bin/sh", "busybox");
        tree.file("etc/deep/er/name", 0o644, "hello");
        tree.directory("root/.ssh");
        let archive = tree.archive();
        assert_eq!(&archive[..6], b"070701");
        assert_eq!(archive.len() % 4, 0);
        let busybox = crate::run::find_program("busybox").expect("busybox-static is installed for this test");
        let listed = crate::run::run_with(std::process::Command::new(busybox).args(["cpio", "-tv"]), Some(&archive))
            .expect("busybox reads the archive");
        for wanted in ["drwx------", "root/.ssh", "etc/deep/er/name", "bin/sh -> busybox", "-rw-r--r--"] {
            assert!(listed.contains(wanted), "{wanted} is not in {listed}");
        }
    }

    #[test]
    fn the_same_tree_gives_the_same_bytes_in_any_order() {
        let (mut a, mut b) = (Tree::default(), Tree::default());
        a.file("x/1", 0o600, "1");
        a.file("x/2", 0o600, "2");
        b.file("x/2", 0o600, "2");
        b.file("x/1", 0o600, "1");
        assert_eq!(a.archive(), b.archive());
    }
}
