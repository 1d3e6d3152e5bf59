//! Who is not let in at all, and who is.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use anyhow::Result;

use super::lab::Lab;
use crate::report::Row;
use crate::tailscaled::Node;

/// One address of each kind.
pub(super) async fn statuses(lab: &Arc<Lab>) -> Result<Row> {
    type Change = fn(&mut Node);
    let mut row = Row::new("9 statuses");
    let kinds: [(&'static str, u16, Change); 8] = [
        ("person", 200, |_| {}),
        ("its IPv6 address", 200, |node| {
            let [a, b, c, d] = node.id.to_be_bytes().last_chunk().copied().unwrap_or_default();
            let six = [0xfd, 0x7a, 0x11, 0x5c, 0xa1, 0xe0, 0, 0, 0, 0, 0, 0, a, b, c, d];
            node.addresses = vec![IpAddr::from(six)];
        }),
        ("login that a grant names", 200, |node| {
            node.user.login = "login@example.com".into();
            node.user.groups.clear();
        }),
        ("person without a grant", 403, |node| node.user.groups.clear()),
        ("tagged machine", 200, |node| node.tags = vec!["tag:ci".into()]),
        ("shared in", 403, |node| node.shared = true),
        ("expired", 403, |node| node.expired = true),
        ("person's subnet router", 403, |node| {
            node.primary_routes = vec!["10.9.0.0/16".into()];
        }),
    ];
    for (kind, expected, change) in kinds {
        let (peer, mut node) = lab.stranger();
        change(&mut node);
        let address = node.addresses.first().copied().unwrap_or(peer.address);
        for login in [node.user.login.clone(), node.tags.join(",")] {
            lab.expect(&peer.model, &login);
        }
        lab.daemon.put(node);
        lab.heard().await?;
        let status = lab.call(address, &peer.model).await?.status;
        row.demand(status == expected, || format!("{kind}: {status}, not {expected}"));
        row.figure(kind, status);
    }
    for (kind, address, questions) in [
        ("address of the tailnet that is nobody's", "100.127.9.9", 1),
        ("behind a subnet router", "10.9.0.7", 0),
        ("public address", "203.0.113.7", 0),
        ("100.64.0.0/10, but never a node's", "100.115.92.7", 0),
    ] {
        let address: IpAddr = address.parse()?;
        let status = lab.call(address, "mock-who-nobody").await?.status;
        let asked = lab.asked(&BTreeSet::from([address]));
        row.demand(status == 403, || format!("{kind}: {status}, not 403"));
        row.demand(asked == questions, || {
            format!("{kind}: {asked} questions, not {questions}")
        });
        row.figure(kind, status);
    }
    lab.expect("mock-who-nobody", "");
    Ok(row)
}
