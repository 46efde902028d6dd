//! What groups do to the rows: [`super::group`] decides, this counts.

use rusqlite::OptionalExtension as _;

use super::group::{Standing, Taking};
use super::queries;
use super::rows::{self, Prepared, StoredBody};
use super::transaction::{Transaction, UNREADABLE};
use crate::message::id::QueueId;
use crate::message::mail::Group;

impl Transaction<'_> {
    /// A message of a group is about to be delivered: what it counts stays as it is from now on.
    pub(super) fn hand_out(&mut self, id: QueueId) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "UPDATE gathering SET handed_out = 1
                 WHERE group_key = (SELECT group_key FROM message WHERE id = ?1) AND message = ?1",
            )?
            .execute([id.as_row()])?;
        Ok(())
    }

    pub(super) fn standing(&self, group: &Group) -> rusqlite::Result<Option<Standing>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT message, closes_at, over_at, handed_out FROM gathering WHERE group_key = ?1",
        )?;
        let standing = statement.query_row([group.key.as_slice()], |row| {
            Ok(Standing {
                message: rows::id(row, 0)?,
                closes_at: rows::time(row, 1)?,
                over_at: rows::time(row, 2)?,
                taking: if row.get(3)? { Taking::Nothing } else { Taking::Repeats },
            })
        });
        standing.optional()
    }

    /// Counts a message into an earlier one; `false` when that one is gone or cannot be read.
    pub(super) fn gather(&mut self, earlier: QueueId, message: &Prepared) -> rusqlite::Result<bool> {
        let Some(StoredBody::Notice(repeat)) =
            rows::decode(&message.body, message.content.as_deref(), &message.checksum)
        else {
            return Ok(false);
        };
        if !self.gathered.contains_key(&earlier) {
            let Some(row) = queries::message(self.connection, earlier)? else { return Ok(false) };
            match rows::decode(&row.body, row.content.as_deref(), &row.checksum) {
                Some(StoredBody::Notice(standing)) => {
                    self.gathered.insert(earlier, (row.body.len(), standing.into_owned()));
                }
                Some(StoredBody::Mail { .. }) => return Ok(false),
                None => {
                    self.set_corrupt(earlier, UNREADABLE, message.accepted_at)?;
                    return Ok(false);
                }
            }
        }
        if let Some((_, standing)) = self.gathered.get_mut(&earlier) {
            let repeat = repeat.into_owned();
            standing.count = standing.count.saturating_add(repeat.count);
            standing.held_back = standing.held_back.saturating_add(repeat.held_back);
            standing.last = Some(repeat.last.unwrap_or(repeat.first));
        }
        Ok(true)
    }
}
