//! Lists: every object once, whatever happens in between.

use crate::{Ground, kernel, refused};
use holm_desk::{ErrorKind, ListQuery};
use holm_model::vms::{Observed, Vm, VmPhase};
use holm_model::{HostId, VmId};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Fills the store with copies of one VM.
async fn filled(count: u32) -> Ground {
    let ground = Ground::new().await;
    kernel(&ground).await;
    let first = ground.vm(&ground.admin, "vm-00000").await;
    let pattern = ground.desk.view().row::<Vm>(first).expect("there").value.clone();
    let write = ground.store.write(move |tx| {
        for n in 1..count {
            let id = tx.next_id::<Vm>();
            let mut vm = pattern.clone();
            vm.id = id;
            vm.meta.name = holm_model::Name::new(format!("vm-{:05}", (n * 7919) % 100_000)).expect("valid");
            vm.meta.created_at.0 += i64::from(n * 31 % 1009);
            vm.phase = VmPhase::On(HostId(n % 3));
            vm.status.observed = [Observed::Running, Observed::Off, Observed::Failed][n as usize % 3];
            tx.put(vm);
        }
        Ok::<_, ()>(())
    });
    write.now().expect("written");
    ground
}

fn query(sort: &str, limit: usize) -> ListQuery {
    ListQuery { sort: Some(sort.into()), limit: Some(limit), ..ListQuery::default() }
}

#[tokio::test]
async fn pages_give_every_object_once_in_order_although_others_come_and_go() {
    let ground = filled(500).await;
    for sort in ["id", "-id", "name", "-name", "state", "-state", "created", "-created"] {
        let mut query = query(sort, 37);
        let mut seen: Vec<VmId> = Vec::new();
        let mut names: Vec<String> = Vec::new();
        let before: BTreeSet<VmId> = ground.store.read().list::<Vm>().map(|row| row.value.id).collect();
        let mut deleted = BTreeSet::new();
        loop {
            let page = ground.desk.view().list::<Vm>(&ground.admin, &query).expect("listed");
            assert!(page.items.len() <= 37);
            seen.extend(page.items.iter().map(|row| row.value.id));
            names.extend(page.items.iter().map(|row| row.value.meta.name.to_string()));
            // The one the cursor points at goes away, and so does one not seen yet.
            for victim in
                [page.items.last().map(|row| row.value.id), before.iter().find(|id| !seen.contains(id)).copied()]
            {
                if let Some(id) = victim.filter(|_| deleted.len() < 12) {
                    ground.store.write(move |tx| Ok::<_, ()>(tx.delete::<Vm>(id))).now().expect("deleted");
                    deleted.insert(id);
                }
            }
            match page.next_cursor {
                Some(cursor) => query.cursor = Some(cursor),
                None => break,
            }
        }
        let unique: BTreeSet<VmId> = seen.iter().copied().collect();
        assert_eq!(unique.len(), seen.len(), "{sort}: nothing twice");
        assert!(before.difference(&unique).all(|id| deleted.contains(id)), "{sort}: nothing missing");
        if sort.ends_with("name") {
            let mut sorted = names.clone();
            sorted.sort();
            if sort.starts_with('-') {
                sorted.reverse();
            }
            assert_eq!(names, sorted);
        }
    }
}

#[tokio::test]
async fn filters_and_cursors_say_what_is_wrong_with_them() {
    let ground = filled(50).await;
    let view = ground.desk.view();
    let list = |query: &ListQuery| view.list::<Vm>(&ground.admin, query);
    let filter = |pairs: &[(&str, &str)]| ListQuery {
        filter: pairs.iter().map(|(f, v)| ((*f).into(), (*v).into())).collect(),
        ..ListQuery::default()
    };
    let count = |pairs: &[(&str, &str)]| list(&filter(pairs)).expect("listed").items.len();
    assert_eq!(count(&[("state", "pending")]), 1);
    assert_eq!(count(&[("state", "running,failed")]) + count(&[("state", "off")]), 49);
    assert_eq!(count(&[("host", "1"), ("state", "off")]), count(&[("host", "1")]));
    assert_eq!(count(&[("image", "kernel"), ("owner", "oneadmin"), ("network", "default")]), 50);
    assert_eq!(
        count(&[("name", "vm-0*")]),
        view.list::<Vm>(&ground.admin, &query("name", 50))
            .expect("listed")
            .items
            .iter()
            .filter(|row| row.value.meta.name.as_str().starts_with("vm-0"))
            .count()
    );
    assert_eq!(count(&[("id", "7")]), 1);
    refused(list(&filter(&[("color", "red")])), ErrorKind::Invalid);
    refused(list(&query("color", 10)), ErrorKind::Invalid);
    for limit in [0, 1001] {
        refused(list(&query("id", limit)), ErrorKind::Invalid);
    }
    let cursor = list(&query("name", 10)).expect("listed").next_cursor;
    assert!(cursor.is_some());
    refused(list(&ListQuery { cursor: cursor.clone(), ..query("id", 10) }), ErrorKind::Invalid);
    refused(list(&ListQuery { cursor: cursor.clone(), ..filter(&[("state", "off")]) }), ErrorKind::Invalid);
    for nonsense in ["", "x", "AAAA", "%%%", &"A".repeat(9000)] {
        refused(list(&ListQuery { cursor: Some(nonsense.into()), ..query("name", 10) }), ErrorKind::Invalid);
    }
    assert_eq!(view.counts(&ground.admin).vms.values().sum::<u64>(), 50);
}

#[tokio::test]
async fn a_long_list_costs_no_more_per_page_at_its_end() {
    let ground = filled(10_000).await;
    let mut query = query("id", 500);
    let mut pages = Vec::new();
    loop {
        let start = Instant::now();
        let page = ground.desk.view().list::<Vm>(&ground.admin, &query).expect("listed");
        pages.push((page.items.len(), start.elapsed()));
        match page.next_cursor {
            Some(cursor) => query.cursor = Some(cursor),
            None => break,
        }
    }
    assert_eq!(pages.iter().map(|(count, _)| count).sum::<usize>(), 10_000);
    assert_eq!(pages.len(), 20);
    // Unoptimized and on a busy machine; a walk from the beginning each time would still show.
    let slowest = pages.iter().map(|(_, time)| *time).max().expect("pages");
    assert!(slowest < Duration::from_millis(500), "{slowest:?}");
}
