//! How much of a destination's limits each gateway of the group may use: all together never more than the whole.

use std::collections::BTreeSet;

use sha2::{Digest as _, Sha256};

use super::record::GatewayId;
use crate::message::id::DestinationName;

/// This gateway's part of `whole` connections, by who lives: the parts of all add up to the whole. Where there are
/// fewer connections than gateways some have none, others for each destination.
pub(super) fn part(
    whole: usize,
    living: &BTreeSet<GatewayId>,
    me: &GatewayId,
    destination: &DestinationName,
) -> usize {
    let members = living.len().max(1);
    let Some(place) = living.iter().position(|member| member == me) else { return 0 };
    let offset = usize::from(Sha256::digest(destination.as_str()).first().copied().unwrap_or_default());
    let turn = place.saturating_add(offset).checked_rem(members).unwrap_or_default();
    let each = whole.checked_div(members).unwrap_or_default();
    let rest = whole.checked_rem(members).unwrap_or_default();
    each.saturating_add(usize::from(turn < rest))
}

#[cfg(test)]
mod tests {
    use super::super::tests::destination;
    use super::*;

    #[test]
    fn the_parts_of_all_that_live_add_up_to_the_whole() {
        for members in 1..6 {
            let living: BTreeSet<_> = (0..members).map(|number| GatewayId(format!("g{number}"))).collect();
            for whole in 0..20 {
                for name in ["smarthost", "pager", "plant-bus"] {
                    let parts = living.iter().map(|me| part(whole, &living, me, &destination(name)));
                    assert_eq!(parts.sum::<usize>(), whole, "{members} {whole} {name}");
                }
            }
        }
    }

    #[test]
    fn who_is_not_known_to_live_has_nothing() {
        let living = BTreeSet::from([GatewayId("other".to_owned())]);
        assert_eq!(part(5, &living, &GatewayId("me".to_owned()), &destination("smarthost")), 0);
    }
}
