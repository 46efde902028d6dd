//! The lines of client networks, one each, but for a site that has many.

use std::collections::HashMap;

use super::line::Line;
use crate::policy::client_network::ClientNetwork;

/// The lines that are remembered.
#[derive(Debug, Default)]
pub(super) struct Networks {
    lines: HashMap<ClientNetwork, Line>,
    /// How many lines of its own networks each site has; those that have none are absent.
    of_sites: HashMap<ClientNetwork, usize>,
}

impl Networks {
    /// Under which line a client network goes: its own, or that of its site once [`MAX_OF_SITE`] others of it are
    /// remembered, and for as long as the site's is remembered then. So who has a whole /48 learns little more by the
    /// 65 536 networks that it consists of, and cannot fill the memory, in which everybody's debts must be kept, with them.
    pub(super) fn counted_under(&self, network: ClientNetwork) -> ClientNetwork {
        let Some(site) = network.site() else { return network };
        if self.lines.contains_key(&network) {
            return network;
        }
        let has_many = self.of_sites.get(&site).is_some_and(|count| *count >= MAX_OF_SITE);
        if has_many || self.lines.contains_key(&site) { site } else { network }
    }

    pub(super) fn get(&self, network: &ClientNetwork) -> Option<&Line> {
        self.lines.get(network)
    }

    pub(super) fn get_mut(&mut self, network: &ClientNetwork) -> Option<&mut Line> {
        self.lines.get_mut(network)
    }

    /// The line of a network, which is remembered from now on.
    pub(super) fn remember(&mut self, network: ClientNetwork) -> &mut Line {
        let of_sites = &mut self.of_sites;
        self.lines.entry(network).or_insert_with(|| {
            if let Some(site) = network.site() {
                let count = of_sites.entry(site).or_default();
                *count = count.saturating_add(1);
            }
            Line::default()
        })
    }

    pub(super) fn forget(&mut self, network: &ClientNetwork) {
        if self.lines.remove(network).is_none() {
            return;
        }
        let Some(site) = network.site() else { return };
        if let Some(count) = self.of_sites.get_mut(&site) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.of_sites.remove(&site);
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ClientNetwork, &Line)> {
        self.lines.iter().map(|(network, line)| (*network, line))
    }
}

/// Networks of one site that have lines of their own: more than honest senders have that are refused something within an
/// hour, and few enough for one who asks from all of them.
const MAX_OF_SITE: usize = 16;
